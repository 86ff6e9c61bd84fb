"""The APIs around scripted programs: a source is the name of a Python coroutine instead of YAML."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from localcloud.core.callers import Callers
from localcloud.core.clock import ManualClock
from localcloud.core.control import Control
from localcloud.core.faults import FaultPlan
from localcloud.core.rest import RestServer
from localcloud.workflows.api.executions import ExecutionsApi
from localcloud.workflows.api.rest import WorkflowsRest
from localcloud.workflows.api.routes import is_callback_path, routes
from localcloud.workflows.api.secrets import SecretsApi
from localcloud.workflows.api.workflows import WorkflowsApi
from localcloud.workflows.connectors.registry import Connectors
from localcloud.workflows.engine.callbacks import Callbacks
from localcloud.workflows.engine.executor import Executor
from localcloud.workflows.engine.http_client import AiohttpCaller
from localcloud.workflows.jsontext import encode_json
from localcloud.workflows.runtime.host import Host
from localcloud.workflows.source.errors import SourceError
from localcloud.workflows.store import Store
from localcloud.workflows.values import Value

PARENT = "projects/demo/locations/us-central1"
WORKFLOW = f"{PARENT}/workflows/w"
ACCOUNT = "123456789012-compute@developer.gserviceaccount.com"

Program = Callable[[Value, Host], Awaitable[Value]]


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """What the APIs take for a checked program."""

    run: Program
    connectors: frozenset[str] = frozenset()


class PlainTokens:
    """Tokens that say what they are."""

    def __init__(self, email: str) -> None:
        self.email = email

    def oidc_token(self, audience: str) -> str:
        """Return a token that names account and audience."""
        return f"id:{self.email}:{audience}"

    def access_token(self, scopes: list[str]) -> str:
        """Return a token that names account and scopes."""
        return f"access:{self.email}:{','.join(scopes)}"


class Emulator:
    """The wired APIs; `programs` maps a source text to what it does."""

    def __init__(
        self, *, max_concurrent: int = 100, max_backlog: int = 100, max_finished: int = 100, max_entries: int = 100
    ) -> None:
        self.clock = ManualClock()
        self.programs: dict[str, Program] = {"echo": _echo, "wait": _wait, "broken": _broken}
        self.store = Store(max_finished_executions=max_finished, max_finished_step_entries=max_entries)
        self.callbacks = Callbacks(self.clock, lambda: "http://emulator")
        self.executor = Executor(
            store=self.store,
            clock=self.clock,
            callbacks=self.callbacks,
            http=AiohttpCaller({}, self.clock),
            token_source=PlainTokens,
            connectors={},
            project_number="123456789012",
            run=self._run,
            max_concurrent=max_concurrent,
            max_backlog=max_backlog,
        )
        self.workflows = WorkflowsApi(
            store=self.store,
            clock=self.clock,
            executor=self.executor,
            load=self._load,
            connectors=Connectors(()),
            default_account=ACCOUNT,
            home=("demo", "us-central1"),
        )
        self.executions = ExecutionsApi(
            store=self.store, clock=self.clock, executor=self.executor, callbacks=self.callbacks
        )
        self.secrets_file: Path | None = None

    def deploy(self, source: str = "echo", **fields: Any) -> dict[str, Any]:
        """Create workflow `w` and return the operation."""
        return self.workflows.create(PARENT, "w", {"sourceContents": source, **fields})

    def start(self, **fields: Any) -> str:
        """Start an execution of `w` and return its name."""
        return str(self.executions.create(WORKFLOW, fields)["name"])

    async def finish(self, name: str) -> dict[str, Any]:
        """Return the execution once it has ended."""
        async with asyncio.timeout(5):
            while self.store.execution(name).is_live:  # noqa: ASYNC110 - a turn of the loop is enough
                await asyncio.sleep(0)
        return self.executions.get(name)

    @contextlib.asynccontextmanager
    async def rest(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Serve the REST surface on loopback."""
        table = routes(self.workflows, self.executions, SecretsApi(self.secrets_file))
        faults = FaultPlan(self.clock, [route.method for route in table])
        rest = WorkflowsRest(table, {"123456789012": "demo"}, faults)
        control = Control(faults, self.clock, self.executor.stop)
        callers = Callers(takes_any_body=is_callback_path)
        server = RestServer(rest.answer, control, logging.getLogger(), callers)
        await server.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(server.base_url) as client:
                yield client
        finally:
            await server.stop()
            await self.executor.stop()

    def _load(self, source: str, *, connectors: Collection[str]) -> Any:
        assert isinstance(connectors, Connectors)
        if source not in self.programs:
            raise SourceError(f"no such program: {source}", line=1, column=1, source=source)
        return LoadedProgram(self.programs[source])

    async def _run(self, program: Any, argument: Value, host: Host) -> str:
        return encode_json(await program.run(argument, host))


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def make_emulator() -> type[Emulator]:
    return Emulator


async def _echo(argument: Value, host: Host) -> Value:
    return argument


async def _wait(argument: Value, host: Host) -> Value:
    entry = host.observer.step_started(routine="main", step="doze", step_type="STEP_STD_LIB_CALL", line=3, thread="")
    await host.clock.sleep(60)
    host.observer.step_ended(entry, failed=False)
    return "slept"


async def _broken(argument: Value, host: Host) -> Value:
    raise ZeroDivisionError("the emulator divided by zero")
