"""Makes a connector's API calls: authorization, retries, the limit of the whole call, and polling.

Source: https://cloud.google.com/workflows/docs/connectors and .../reference/syntax/retrying. Where the pages are
silent, the time limit covers retries and polls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from localcloud.workflows.connectors.methods import ApiRequest
from localcloud.workflows.errors import (
    WorkflowError,
    auth_error,
    connection_error,
    connection_failed_error,
    http_error,
    resource_limit_error,
    response_type_error,
    timeout_error,
    type_error,
    value_error,
)
from localcloud.workflows.http_bodies import value_from_body
from localcloud.workflows.limits import MAX_HTTP_RESPONSE_BYTES
from localcloud.workflows.runtime.host import (
    Host,
    HttpConnectionBroken,
    HttpConnectionFailed,
    HttpRequest,
    HttpTimedOut,
)
from localcloud.workflows.values import Value

USER_AGENT = "GoogleCloudWorkflows; (+https://cloud.google.com/workflows/docs)"

DEFAULT_TIMEOUT_S = 1800.0
MAX_TIMEOUT_S = 31_536_000.0
_REQUEST_TIMEOUT_S = 1800.0

_MAX_RETRIES = 5
_RETRY_INITIAL_S, _RETRY_MULTIPLIER, _RETRY_MAX_S = 1.0, 1.25, 60.0
_RETRIED_OF_GET = frozenset({429, 502, 503, 504, "ConnectionError", "ConnectionFailedError", "TimeoutError"})
"""What `http.default_retry` retries."""
_RETRIED_OF_OTHERS = frozenset({429, 503, "ConnectionFailedError"})
"""What `http.default_retry_non_idempotent` retries."""


@dataclass(frozen=True, slots=True)
class ConnectorParams:
    """The argument `connector_params` of a call; times in seconds."""

    timeout_s: float = DEFAULT_TIMEOUT_S
    initial_delay_s: float = 1.0
    multiplier: float = 1.25
    max_delay_s: float = 60.0
    skip_polling: bool = False
    scopes: tuple[str, ...] = ()


class ApiCall:
    """One call of one connector, with its deadline."""

    def __init__(self, host: Host, params: ConnectorParams) -> None:
        self._host = host
        self.params = params
        self._deadline = host.clock.now() + params.timeout_s

    async def send(self, request: ApiRequest) -> Value:
        """Return the decoded body of the answer, after retries.

        Raises:
            WorkflowError: HttpError, ConnectionError, ConnectionFailedError, TimeoutError or AuthError.
        """
        delay_s = _RETRY_INITIAL_S
        retried = _RETRIED_OF_GET if request.verb == "GET" else _RETRIED_OF_OTHERS
        for _ in range(_MAX_RETRIES):
            try:
                return await self._send_once(request)
            except WorkflowError as error:
                if not retried & _causes(error):
                    raise
            await self.sleep(delay_s)
            delay_s = min(delay_s * _RETRY_MULTIPLIER, _RETRY_MAX_S)
        return await self._send_once(request)

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the call's time would be over before.

        Raises:
            WorkflowError: TimeoutError.
        """
        left_s = self._deadline - self._host.clock.now()
        if seconds > left_s:
            await self._host.clock.sleep(max(0.0, left_s))
            raise timeout_error(f"the connector call took longer than {self.params.timeout_s:g} seconds")
        await self._host.clock.sleep(seconds)

    async def poll(self, url: str, value: Value, *, is_done: Callable[[dict[str, Value]], bool]) -> Value:
        """GET `url` with the polling policy until `is_done(value)`; `value` is the first answer.

        Each poll is a step of the execution: https://cloud.google.com/workflows/docs/best-practice.
        """
        delay_s = self.params.initial_delay_s
        while not is_done(value):
            await self.sleep(delay_s)
            delay_s = min(delay_s * self.params.multiplier, self.params.max_delay_s)
            self._host.count_step()
            value = await self.send(ApiRequest("GET", url, {}, None))
            if not isinstance(value, dict):
                raise response_type_error("a poll returned no object")
        return value

    async def _send_once(self, request: ApiRequest) -> Value:
        left_s = self._deadline - self._host.clock.now()
        try:
            token = self._host.tokens.access_token(list(self.params.scopes))
        except ValueError as error:
            raise auth_error(str(error)) from error
        headers = {**request.headers, "Authorization": f"Bearer {token}", "User-Agent": USER_AGENT}
        timeout_s = max(0.001, min(_REQUEST_TIMEOUT_S, left_s))
        try:
            answer = await self._host.http.send(
                HttpRequest(request.verb, request.url, headers, request.body, timeout_s)
            )
        except HttpConnectionFailed as error:
            raise connection_failed_error(str(error)) from error
        except HttpConnectionBroken as error:
            raise connection_error(str(error)) from error
        except HttpTimedOut as error:
            raise timeout_error(str(error)) from error
        if len(answer.body) > MAX_HTTP_RESPONSE_BYTES:
            raise resource_limit_error(f"HTTP response is larger than {MAX_HTTP_RESPONSE_BYTES} bytes")
        # An answer without content, such as a 204, is null.
        body = value_from_body(answer.body, answer.headers.get("Content-Type", "")) if answer.body else None
        if answer.code >= 400:
            raise http_error(answer.code, answer.headers, body)
        return body


def connector_params(value: Value) -> ConnectorParams:
    """Read the argument `connector_params`.

    Raises:
        WorkflowError: TypeError or ValueError, naming the field.
    """
    if value is None:
        return ConnectorParams()
    if not isinstance(value, dict):
        raise type_error("connector_params must be a map")
    policy = value.get("polling_policy") or {}
    if not isinstance(policy, dict):
        raise type_error("connector_params.polling_policy must be a map")
    known = {"timeout", "polling_policy", "skip_polling", "scopes"}
    known_policy = {"initial_delay", "multiplier", "max_delay"}
    if unknown := sorted((set(value) - known) | (set(policy) - known_policy)):
        raise value_error(f"connector_params has no field {unknown[0]!r}")
    skip_polling = value.get("skip_polling", False)
    if not isinstance(skip_polling, bool):
        raise type_error("connector_params.skip_polling must be a boolean")
    return ConnectorParams(
        timeout_s=_positive(value, "timeout", DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S),
        initial_delay_s=_positive(policy, "initial_delay", 1.0, MAX_TIMEOUT_S),
        multiplier=_positive(policy, "multiplier", 1.25, MAX_TIMEOUT_S),
        max_delay_s=_positive(policy, "max_delay", 60.0, MAX_TIMEOUT_S),
        skip_polling=skip_polling,
        scopes=_scopes(value.get("scopes")),
    )


def _causes(error: WorkflowError) -> set[object]:
    code = error.value.get("code") if isinstance(error.value, dict) else None
    return {code, *(tag for tag in error.tags if isinstance(tag, str))}


def _positive(fields: Mapping[str, Value], name: str, default: float, maximum: float) -> float:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise type_error(f"connector_params: {name} must be a number")
    if not 0 < value <= maximum:
        raise value_error(f"connector_params: {name} must be above 0 and at most {maximum:g}")
    return float(value)


def _scopes(value: Value) -> tuple[str, ...]:
    match value:
        case None:
            return ()
        case str():
            return tuple(value.replace(",", " ").split())
        case list() if all(isinstance(item, str) for item in value):
            return tuple(value)
        case _:
            raise type_error("connector_params.scopes must be a string or a list of strings")
