"""Fakes of the host's ports, with memory instead of expectations; only tests import this."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from localcloud.core.clock import Clock
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.runtime.host import (
    CallbackBroker,
    ConnectorMethod,
    Host,
    HttpCaller,
    HttpRequest,
    HttpResponse,
    Progress,
)
from localcloud.workflows.values import Value


class LeapingClock:
    """A clock on which every wait is over at once, having moved the time; `requested` remembers them."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self.requested: list[float] = []

    def now(self) -> float:
        """Return the time, in seconds since the Unix epoch."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Move the time forward and let others run."""
        self.requested.append(seconds)
        self._now += seconds
        await asyncio.sleep(0)


class ScriptedHttp:
    """Answers requests in order from a script of responses and exceptions; `requests` remembers them."""

    def __init__(self, script: Iterable[HttpResponse | Exception] = ()) -> None:
        self._script = list(script)
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return or raise the script's next entry; a request beyond its end is a bug of the test."""
        self.requests.append(request)
        await asyncio.sleep(0)
        answer = self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class ReadableTokens:
    """Mints tokens that say what they are for."""

    def oidc_token(self, audience: str) -> str:
        """Return e.g. `oidc:https://a.example`."""
        return f"oidc:{audience}"

    def access_token(self, scopes: list[str]) -> str:
        """Return e.g. `access:scope-a,scope-b`."""
        return f"access:{','.join(scopes)}"


class ScriptedCallbacks:
    """Endpoints whose requests are scripted; an exhausted script times out. `waits` remembers the timeouts."""

    def __init__(self, script: Iterable[dict[str, Value]] = ()) -> None:
        self._script = list(script)
        self.methods: dict[str, str] = {}
        self.waits: list[float] = []

    def create(self, method: str) -> str:
        """Open an endpoint."""
        url = f"http://127.0.0.1/callbacks/{len(self.methods) + 1}"
        self.methods[url] = method
        return url

    async def wait(self, url: str, timeout_s: float) -> dict[str, Value]:
        """Return the script's next request."""
        self.waits.append(timeout_s)
        if url not in self.methods:
            raise KeyError(url)
        if not self._script:
            raise TimeoutError
        return self._script.pop(0)


@dataclass(slots=True)
class RememberedLog:
    """Keeps `(severity, payload)` of every entry."""

    entries: list[tuple[str, Value]] = field(default_factory=list)

    def write(self, severity: str, payload: Value) -> None:
        """Keep one entry."""
        self.entries.append((severity, payload))


@dataclass(frozen=True, slots=True)
class ObservedStep:
    """What an observer was told when a step began."""

    routine: str
    step: str
    step_type: str
    line: int
    thread: str


@dataclass(slots=True)
class RememberedSteps:
    """Keeps every step that began, and whether it failed once it ended; with `progress` and `variables` beside."""

    started: list[ObservedStep] = field(default_factory=list)
    failed: dict[int, bool] = field(default_factory=dict)
    progress: dict[int, Progress] = field(default_factory=dict)
    variables: dict[int, Mapping[str, Value]] = field(default_factory=dict)
    records_variables: bool = False

    def step_started(
        self,
        *,
        routine: str,
        step: str,
        step_type: str,
        line: int,
        thread: str,
        progress: Progress | None = None,
        variables: Mapping[str, Value] | None = None,  # noqa: ARG002 - those at the end are kept
    ) -> int:
        """Keep a step and return its index."""
        self.started.append(ObservedStep(routine, step, step_type, line, thread))
        entry = len(self.started) - 1
        if progress is not None:
            self.progress[entry] = progress
        return entry

    def step_ended(
        self,
        entry: int,
        *,
        failed: bool,
        error: WorkflowError | None = None,  # noqa: ARG002 - `failed` tells enough
        variables: Mapping[str, Value] | None = None,
    ) -> None:
        """Keep how it ended."""
        self.failed[entry] = failed
        if variables is not None:
            self.variables[entry] = variables


def make_host(
    *,
    clock: Clock | None = None,
    http: HttpCaller | None = None,
    callbacks: CallbackBroker | None = None,
    log: RememberedLog | None = None,
    observer: RememberedSteps | None = None,
    env: Mapping[str, str] | None = None,
    connectors: Mapping[str, ConnectorMethod] | None = None,
) -> Host:
    """Return a host of fakes; a test names only what it looks at."""
    return Host(
        clock=clock or LeapingClock(),
        http=http or ScriptedHttp(),
        tokens=ReadableTokens(),
        callbacks=callbacks or ScriptedCallbacks(),
        log=log or RememberedLog(),
        observer=observer or RememberedSteps(),
        env=env or {},
        connectors=connectors or {},
    )
