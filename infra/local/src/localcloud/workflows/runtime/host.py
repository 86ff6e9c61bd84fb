"""What an execution needs from outside, as protocols: time, HTTP, tokens, callbacks, logs, observers, connectors.

The interpreter knows only this module; the executor builds a `Host` for every execution and
tests build one by hand. Nothing here knows the language or the wire format of Google's APIs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from localcloud.core.clock import Clock
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.values import Value


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One outgoing HTTP call, fully encoded: `url` holds the query, `headers` the Authorization if any."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The raw answer; `headers` have canonical names and merged duplicates."""

    code: int
    headers: Mapping[str, str]
    body: bytes


class HttpConnectionFailed(Exception):  # noqa: N818 - named for the workflow tag it becomes
    """No connection could be made (DNS, refused): becomes ConnectionFailedError."""


class HttpConnectionBroken(Exception):  # noqa: N818
    """The connection broke before the whole answer was read: becomes ConnectionError."""


class HttpTimedOut(Exception):  # noqa: N818
    """`timeout_s` passed: becomes TimeoutError."""


class HttpCaller(Protocol):
    """Sends HTTP requests for `http.*` and for connectors."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request, following redirects.

        Raises:
            HttpConnectionFailed, HttpConnectionBroken, HttpTimedOut: see their docs.
        """
        ...


class TokenSource(Protocol):
    """Mints the tokens of the execution's service account; a ValueError becomes the workflow's AuthError."""

    def oidc_token(self, audience: str) -> str:
        """Return a signed identity token for `audience`."""
        ...

    def access_token(self, scopes: list[str]) -> str:
        """Return an OAuth2 access token."""
        ...


class CallbackBroker(Protocol):
    """Callback endpoints of one execution."""

    def create(self, method: str) -> str:
        """Open an endpoint for the HTTP `method` and return its URL."""
        ...

    async def wait(self, url: str, timeout_s: float) -> dict[str, Value]:
        """Return the next request to `url` in the shape `events.await_callback` gives it.

        Raises:
            TimeoutError: nothing arrived within `timeout_s`.
            KeyError: `url` is not an endpoint of this execution.
        """
        ...


class Progress(NamedTuple):
    """Which part of a whole an entry is: iteration `number` (from 1) of `expected`, None where that is open.

    `progress_type` is the API's name, such as `PROGRESS_TYPE_FOR`.
    """

    progress_type: str
    number: int
    expected: int | None


class StepObserver(Protocol):
    """Told of every step: feeds `status.currentSteps` and the step entries."""

    @property
    def records_variables(self) -> bool:
        """Whether the methods below want `variables`: the visible ones and their values, which never change."""
        ...

    def step_started(
        self,
        *,
        routine: str,
        step: str,
        step_type: str,
        line: int,
        thread: str,
        progress: Progress | None = None,
        variables: Mapping[str, Value] | None = None,
    ) -> int:
        """Record that a step began; return an id for `step_ended`."""
        ...

    def step_ended(
        self,
        entry: int,
        *,
        failed: bool,
        error: WorkflowError | None = None,
        variables: Mapping[str, Value] | None = None,
    ) -> None:
        """Record how the step ended, with the workflow's error if one left it."""
        ...


ConnectorMethod = Callable[["Host", Mapping[str, Value]], Awaitable[Value]]
"""A `googleapis.*` method: gets the host and the call's named arguments, returns the API's response body."""


class LogSink(Protocol):
    """Receives what `sys.log` writes."""

    def write(self, severity: str, payload: Value) -> None:
        """Write one entry; a dict payload is structured, anything else is text."""
        ...


class CallObserver(Protocol):
    """Told of every call step, for call logging; calls inside expressions are not logged (as in production)."""

    def call_started(self, *, routine: str, step: str, function: str, arguments: Mapping[str, Value]) -> int:
        """Record that `function` is called; return an id for the other two."""
        ...

    def call_returned(self, call: int, response: Value) -> None:
        """Record what it returned."""
        ...

    def call_raised(self, call: int, error: Value, *, origin: str | None) -> None:
        """Record the value it raised; `origin` is the step of a subworkflow where it began, None for this one."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """Everything one execution may touch.

    `env` holds the built-in and user environment variables for `sys.get_env`; `connectors` maps a full name such as
    `googleapis.cloudtasks.v2.projects.locations.queues.tasks.create` to its method.
    """

    clock: Clock
    http: HttpCaller
    tokens: TokenSource
    callbacks: CallbackBroker
    log: LogSink
    observer: StepObserver
    env: Mapping[str, str] = field(default_factory=dict)
    connectors: Mapping[str, ConnectorMethod] = field(default_factory=dict)
    calls: CallObserver | None = None
    count_step: Callable[[], None] = lambda: None
    """Counts one more step of the execution, raising its uncatchable error beyond the limit; set by the interpreter."""
