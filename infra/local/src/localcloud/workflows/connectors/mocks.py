"""Calls whose answers somebody gives: connectors and HTTP requests, for services that localcloud does not emulate.

A mock is named by the full name of a connector, or by `http.VERB URL`, where `*` in the URL stands for anything. Its
answers are `{returns: VALUE}` or `{raises: VALUE}`, used in order, and the last one stays. `polls: N` beside them is
how often an operation is asked for before. A departure from production: nothing is sent.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from localcloud.core.config_fields import ConfigError
from localcloud.workflows.connectors.calls import ApiCall, connector_params
from localcloud.workflows.connectors.methods import CONNECTOR_PARAMS
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.runtime.host import (
    ConnectorMethod,
    Host,
    HttpCaller,
    HttpConnectionBroken,
    HttpConnectionFailed,
    HttpRequest,
    HttpResponse,
    HttpTimedOut,
)
from localcloud.workflows.values import Value

_CONNECTOR = re.compile(r"googleapis(?:\.[A-Za-z0-9_]+){3,}")
_HTTP = re.compile(r"http\.(?P<verb>get|post|put|patch|delete|head|options|\*) (?P<url>\S+)")
_KINDS = ("returns", "raises")
_FAULTS: Mapping[str, type[Exception]] = {
    "ConnectionFailedError": HttpConnectionFailed,
    "ConnectionError": HttpConnectionBroken,
    "TimeoutError": HttpTimedOut,
}

Answer = Mapping[str, Any]


class Mock:
    """The answers of one call, and what it was called with."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        """Take answers that `check_answers` has seen."""
        self._left = list(answers)
        self.calls: list[Any] = []
        """Arguments of a connector, or `{method, url, headers, body}` of a request, in order."""

    def next(self, call: Any) -> Answer:
        """Remember a call and return its answer."""
        self.calls.append(call)
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


class Mocks:
    """All mocks of one server, by name."""

    def __init__(self) -> None:
        self._mocks: dict[str, Mock] = {}

    def add(self, name: str, answers: Any) -> Mock:
        """Add or replace a mock; `answers` is one answer or a list.

        Raises:
            ValueError: name or answers have another form.
        """
        if _CONNECTOR.fullmatch(name) is None and _HTTP.fullmatch(name) is None:
            raise ValueError(
                f"{name!r} is no call, such as googleapis.pubsub.v1.projects.topics.publish or"
                " 'http.post https://api.example/*'"
            )
        self._mocks[name] = mock = Mock(_checked(name, answers))
        return mock

    def clear(self) -> None:
        """Forget all mocks."""
        self._mocks.clear()

    def names(self) -> Iterator[str]:
        """Yield the connectors that have a mock."""
        yield from (name for name in self._mocks if _CONNECTOR.fullmatch(name))

    def connector(self, name: str) -> ConnectorMethod | None:
        """Return the connector that answers as its mock says, or None without a mock."""
        mock = self._mocks.get(name)
        return None if mock is None else _connector(mock)

    def http(self, request: HttpRequest) -> Mock | None:
        """Return the mock of a request: the one that was added last among those whose name fits."""
        for name in reversed(self._mocks):
            match = _HTTP.fullmatch(name)
            if (
                match is not None
                and match["verb"] in ("*", request.method.lower())
                and fnmatch.fnmatchcase(request.url, match["url"].replace("[", "[[]").replace("?", "[?]"))
            ):
                return self._mocks[name]
        return None


class MockedHttp:
    """An `HttpCaller` that answers from mocks, and sends the requests that have none."""

    def __init__(self, http: HttpCaller, mocks: Mocks) -> None:
        self._http = http
        self._mocks = mocks

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer or send one request; `raises` with a `code` is a response, with a tag a fault of the connection."""
        mock = self._mocks.http(request)
        if mock is None:
            return await self._http.send(request)
        answer = mock.next(
            {
                "method": request.method,
                "url": request.url,
                "headers": dict(request.headers),
                "body": _json_or_text(request.body),
            }
        )
        if "returns" in answer:
            return _response(200, answer["returns"])
        given = answer["raises"] if isinstance(answer["raises"], dict) else {}
        for tag in given.get("tags", []):
            if tag in _FAULTS:
                raise _FAULTS[tag](given.get("message", tag))
        return _response(given.get("code", 500), given.get("body"), given.get("headers", {}))


def load_mocks(path: Path) -> Mocks:
    """Return the mocks of a file: a mapping of names to answers.

    Raises:
        ConfigError: names file, call and fault.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of connectors to their answers")
    mocks = Mocks()
    for name, answers in content.items():
        try:
            mocks.add(str(name), answers)
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from None
    return mocks


def _checked(name: str, given: Any) -> list[Answer]:
    answers = given if isinstance(given, list) else [given]
    for answer in answers:
        kinds = [key for key in answer if key != "polls"] if isinstance(answer, dict) else []
        if len(kinds) != 1 or kinds[0] not in _KINDS or not isinstance(answer.get("polls", 0), int):
            raise ValueError(f"{name}: an answer is {{returns: VALUE}} or {{raises: VALUE}}, not {answer!r}")
    if not answers:
        raise ValueError(f"{name}: there is no answer")
    return answers


def _connector(mock: Mock) -> ConnectorMethod:
    async def answer(host: Host, arguments: Mapping[str, Value]) -> Value:
        given = mock.next(dict(arguments))
        params = connector_params(arguments.get(CONNECTOR_PARAMS))
        call, delay_s = ApiCall(host, params), params.initial_delay_s
        for _ in range(0 if params.skip_polling else given.get("polls", 0)):
            await call.sleep(delay_s)
            delay_s = min(delay_s * params.multiplier, params.max_delay_s)
            host.count_step()
        if "raises" in given:
            raise WorkflowError(given["raises"])
        return given["returns"]

    return answer


def _response(code: int, body: Any, headers: Mapping[str, str] | None = None) -> HttpResponse:
    if isinstance(body, str):
        kind, content = "text/plain; charset=utf-8", body.encode()
    else:
        kind, content = "application/json", b"" if body is None else json.dumps(body).encode()
    return HttpResponse(code, {"Content-Type": kind, **(headers or {})}, content)


def _json_or_text(body: bytes | None) -> Any:
    try:
        return None if body is None else json.loads(body)
    except ValueError:
        return (body or b"").decode("utf-8", "replace")
