"""The emulators in the process of a test, with time that stands still until somebody moves it."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar

import yaml

from localcloud.composition import start_platform
from localcloud.core.clock import ManualClock, SystemClock
from localcloud.core.google_errors import GoogleError
from localcloud.core.grpc_extra import INSTALLS_GRPC, is_grpc_installed
from localcloud.testing.executions import RunningExecution
from localcloud.testing.loop_thread import LoopThread
from localcloud.testing.options import LocalCloudOptions, platform_config
from localcloud.testing.stepped_clock import SteppedClock
from localcloud.workflows.api.lists import ListQuery
from localcloud.workflows.connectors.mocks import Mock
from localcloud.workflows.engine.execution_log import ENTRIES

T = TypeVar("T")

_PAUSE_S = 0.001


class DeployError(AssertionError):
    """A source was refused; the text has its line and a caret."""


class LocalCloud:
    """Workflows, Cloud Tasks and their metadata server, on free ports of this machine.

    Use as a context manager, or call `close`.
    """

    def __init__(self, options: LocalCloudOptions | None = None) -> None:
        self._options = options or LocalCloudOptions()
        self._folder = tempfile.TemporaryDirectory(prefix="localcloud-")
        self._secrets: dict[str, str] = {}
        self._secrets_file = Path(self._folder.name) / "secrets.yaml"
        self._secrets_file.write_text("{}", encoding="utf-8")
        self._manual = ManualClock(SystemClock().now())
        self._loop = LoopThread()
        self._entries = _Entries()
        logging.getLogger(ENTRIES).addHandler(self._entries)
        logging.getLogger(ENTRIES).setLevel(logging.INFO)
        self.clock = SteppedClock(self._manual, self._loop)
        try:
            self._platform = self._loop.run(
                start_platform(platform_config(self._options, self._secrets_file), self._manual)
            )
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the emulators."""
        self._loop.run(self._platform.stop())
        self._end()

    @property
    def parent(self) -> str:
        """`projects/PROJECT/locations/LOCATION`."""
        return f"projects/{self._options.project}/locations/{self._options.location}"

    @property
    def workflows_url(self) -> str:
        """Base URL of Workflows and Workflow Executions over REST."""
        return _there(self._platform.workflows).base_url

    @property
    def workflows_grpc(self) -> str:
        """`HOST:PORT` of the same over gRPC.

        Raises:
            RuntimeError: the extra `grpc` is not installed.
        """
        return _grpc_address(_there(self._platform.workflows).grpc_port)

    @property
    def tasks_url(self) -> str:
        """Base URL of Cloud Tasks over REST."""
        return _there(self._platform.tasks).base_url

    @property
    def tasks_grpc(self) -> str:
        """`HOST:PORT` of Cloud Tasks over gRPC.

        Raises:
            RuntimeError: the extra `grpc` is not installed.
        """
        return _grpc_address(_there(self._platform.tasks).grpc_port)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for programs under test, so that Google's libraries find the metadata server."""
        identity = _there(self._platform.identity)
        host = identity.metadata_host(next(iter(identity.ports)))
        return {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, "GOOGLE_CLOUD_PROJECT": self._options.project}

    @property
    def logs(self) -> list[dict[str, Any]]:
        """What executions wrote with `sys.log`, as `LogEntry` maps in order."""
        return [entry for entry in self._entries.all if entry["logName"].endswith("/logs/Workflows")]

    def deploy(self, workflow: str | Path, name: str | None = None, *, env: Mapping[str, str] | None = None) -> str:
        """Deploy a workflow and return its id.

        Args:
            workflow: path of a file, or the source itself: a text with a line break.
            name: its id; the file's stem by default, `workflow` for a source.
            env: user environment variables.

        Raises:
            DeployError: it is refused.
        """
        is_source = isinstance(workflow, str) and "\n" in workflow
        source = str(workflow) if is_source else Path(workflow).read_text(encoding="utf-8")
        workflow_id = name or ("workflow" if is_source else Path(workflow).stem)
        body = {"sourceContents": source, "userEnvVars": dict(env or {})}
        api = _there(self._platform.workflows).workflows

        def apply() -> dict[str, Any]:
            full = f"{self.parent}/workflows/{workflow_id}"
            if full in _there(self._platform.workflows).store.workflows:
                return api.patch(full, "sourceContents,userEnvVars", body)
            return api.create(self.parent, workflow_id, body)

        try:
            operation = self._loop.call(apply)
        except GoogleError as error:
            raise DeployError(error.message) from None
        if "error" in operation:
            raise DeployError(f"{workflow_id}: {operation['error']['message']}")
        return workflow_id

    def run(self, name: str, argument: Any = None) -> Any:
        """Execute a workflow to its end and return its result; time moves while nothing else goes on.

        Raises:
            WorkflowFailedError: it failed.
            TimeoutError: it does not end within the real seconds of the options.
        """
        return self.start(name, argument).result()

    def start(self, name: str, argument: Any = None) -> RunningExecution:
        """Start an execution and return it at once; time stands still until `clock.advance` or `result`."""
        server = _there(self._platform.workflows)
        body = {"argument": json.dumps(argument)}
        created = self._loop.call(lambda: server.executions.create(f"{self.parent}/workflows/{name}", body))
        return RunningExecution(
            created["name"],
            self._loop,
            read=server.store.execution,
            finish=self._finish,
            callbacks=lambda execution: [
                f"{server.base_url}/v1/{callback['name']}"
                for callback in server.executions.list_callbacks(execution, ListQuery()).get("callbacks", [])
            ],
            cancel=server.executions.cancel,
        )

    def mock(self, call: str, returns: Any = None, *, raises: Any = None, answers: Any = None, polls: int = 0) -> Mock:
        """Give a call its answer and return the mock, whose `calls` hold what it was called with.

        Args:
            call: full name of a connector, or `http.VERB URL` with `*` for anything.
            returns: the result, or the body of the response.
            raises: an error such as `{"code": 503, "tags": ["HttpError"]}` instead.
            answers: several of `{"returns": ...}` or `{"raises": ...}`, in order; the last one stays.
            polls: how often an operation is asked for before.
        """
        given = answers if answers is not None else {"returns": returns} if raises is None else {"raises": raises}
        if polls and isinstance(given, dict):
            given = {**given, "polls": polls}
        return self._loop.call(lambda: self._platform.mocks.add(call, given))

    def secret(self, secret_id: str, text: str) -> None:
        """Give Secret Manager a secret."""
        self._secrets[secret_id] = text
        self._secrets_file.write_text(yaml.safe_dump(self._secrets), encoding="utf-8")

    def fault(self, server: str, **order: Any) -> None:
        """Order a fault of the server `workflows` or `tasks`, e.g. `route="tasks.create", fault="fail", code=503`."""
        self._control(server, "faults", order)

    def reset(self) -> None:
        """Bring everything back to the start; time goes on."""
        self._loop.call(self._platform.mocks.clear)
        for server in ("workflows", "tasks"):
            self._control(server, "reset", {})
        self._secrets.clear()
        self._secrets_file.write_text("{}", encoding="utf-8")
        self._entries.all.clear()

    def workflows_client(self, transport: str = "rest") -> Any:
        """Return Google's `workflows_v1.WorkflowsClient` of this server; `rest` or `grpc`. Needs the extra `grpc`."""
        return _clients().workflows(transport, self.workflows_url, self.workflows_grpc)

    def executions_client(self) -> Any:
        """Return Google's `executions_v1.ExecutionsClient` of this server, over gRPC. Needs the extra `grpc`."""
        return _clients().executions(self.workflows_grpc)

    def tasks_client(self, transport: str = "rest") -> Any:
        """Return Google's `tasks_v2.CloudTasksClient` of this server; `rest` or `grpc`. Needs the extra `grpc`."""
        return _clients().tasks(transport, self.tasks_url, self.tasks_grpc)

    async def _finish(self, name: str) -> None:
        """Wait for the end of an execution; time moves to the next sleeper while no request is under way."""
        server, tasks = _there(self._platform.workflows), _there(self._platform.tasks)
        deadline = asyncio.get_running_loop().time() + self._options.timeout_s
        while server.store.execution(name).is_live:
            if asyncio.get_running_loop().time() > deadline:
                steps = ", ".join(f"{r}.{s}" for r, s in server.store.execution(name).history.current_steps())
                raise TimeoutError(f"{name} has not ended within {self._options.timeout_s:g} s; it is in {steps}")
            await self._manual.advance(0)
            due = self._manual.next_due()
            if due is None or server.requests_under_way or tasks.requests_under_way:
                await asyncio.sleep(_PAUSE_S)
            elif server.store.execution(name).is_live:
                await self._manual.advance(max(0.0, due - self._manual.now()))

    def _control(self, server: str, path: str, body: Any) -> None:
        controls = {
            "workflows": _there(self._platform.workflows).control,
            "tasks": _there(self._platform.tasks).control,
        }
        self._loop.run(controls[server].answer("POST", f"/_local/{path}", body))

    def _end(self) -> None:
        logging.getLogger(ENTRIES).removeHandler(self._entries)
        self._loop.close()
        self._folder.cleanup()


class _Entries(logging.Handler):
    """Keeps the log entries of executions."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one entry, which is JSON text."""
        self.all.append(json.loads(record.getMessage()))


def _clients() -> ModuleType:
    if not is_grpc_installed():
        raise RuntimeError(f"Google's clients are not installed: {INSTALLS_GRPC}")
    from localcloud.testing import clients

    return clients


def _grpc_address(port: int) -> str:
    if not port:
        raise RuntimeError(f"gRPC is not served: {INSTALLS_GRPC}")
    return f"127.0.0.1:{port}"


def _there(part: T | None) -> T:
    """Return a part of the platform, which has started."""
    assert part is not None
    return part
