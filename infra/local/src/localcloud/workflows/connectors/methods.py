"""One connector method as data, and the HTTP request that a call of it makes.

The tables in the sibling modules are written like the APIs' discovery documents: a path template, the query
parameters, and whether there is a body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import quote, urlencode

from localcloud.workflows.errors import type_error, value_error
from localcloud.workflows.jsontext import JsonEncodeError, encode_json
from localcloud.workflows.values import Value

CONNECTOR_PARAMS: Final = "connector_params"
_VARIABLE = re.compile(r"\{(?P<reserved>\+?)(?P<name>\w+)\}")


class Waiting(Enum):
    """What a successful first answer means."""

    NOT = "the answer is the result"
    OPERATION = "a google.longrunning.Operation to be polled; its response is the result"
    STATUS = "an operation with an address and a status, to be polled; it is the result"
    EXECUTION = "a workflow execution to be polled; it is the result"
    JOB = "a job to be polled; it is the result"


class BodyKind(Enum):
    """What the argument `body` is."""

    NONE = "no body"
    JSON = "a map, sent as JSON"
    MEDIA = "content: text, bytes, or a value to be sent as JSON"


@dataclass(frozen=True, slots=True)
class ApiMethod:
    """A method of a Google API.

    Attributes:
        name: full connector name, `googleapis.cloudtasks.v2.projects.locations.queues.get`.
        verb: HTTP method.
        url: template; `{+name}` keeps slashes, `{name}` must be a single, URL-encoded path segment.
        query: names of query parameters that a call may give.
        body: what `body` may be.
        waiting: how the result is obtained.
        ignored: arguments that are taken and not sent.
    """

    name: str
    verb: str
    url: str
    query: tuple[str, ...] = ()
    body: BodyKind = BodyKind.NONE
    waiting: Waiting = Waiting.NOT
    ignored: tuple[str, ...] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the arguments that the path needs."""
        return tuple(match["name"] for match in _VARIABLE.finditer(self.url))


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """An HTTP request before authorization."""

    verb: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


def request_for(method: ApiMethod, arguments: Mapping[str, Value]) -> ApiRequest:
    """Return the request of a call; `connector_params` is not looked at.

    Raises:
        WorkflowError: TypeError for a missing, unknown or ill-typed argument; ValueError for a body without JSON form.
    """
    arguments = _flat(method, _with_query(method, arguments))
    known = {*method.variables, *method.query, *method.ignored, CONNECTOR_PARAMS}
    if method.body is not BodyKind.NONE:
        known.add("body")
    if unknown := sorted(set(arguments) - known):
        raise type_error(f"{method.name}: unknown argument {unknown[0]!r}")

    def expand(match: re.Match[str]) -> str:
        return _path_text(method, match["name"], arguments, is_reserved=bool(match["reserved"]))

    url = _VARIABLE.sub(expand, method.url)
    pairs = [
        (name, _query_text(method, name, item))
        for name in method.query
        for item in _as_list(arguments.get(name))
        if item is not None
    ]
    if pairs:
        url += f"?{urlencode(pairs, quote_via=quote)}"
    headers, body = _content(method, arguments)
    return ApiRequest(method.verb, url, headers, body)


def _with_query(method: ApiMethod, arguments: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return the arguments with those of the map `query` among them.

    Samples of Google's give query parameters either way: workflows-demos, batch-translation/workflow.yaml.
    """
    query = arguments.get("query")
    if not isinstance(query, dict) or "query" in method.query:
        return arguments
    if unknown := sorted(set(query) - set(method.query)):
        raise type_error(f"{method.name}: unknown query parameter {unknown[0]!r}")
    if twice := sorted(set(query) & set(arguments)):
        raise type_error(f"{method.name}: argument {twice[0]!r} is also in 'query'")
    return {**{name: value for name, value in arguments.items() if name != "query"}, **query}


def _flat(method: ApiMethod, arguments: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return the arguments with `mask: {fieldPaths: [...]}` as the query parameter `mask.fieldPaths`, as samples do."""
    flat: dict[str, Value] = {}
    for name, value in arguments.items():
        parts = {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {}
        if parts and name not in method.query and parts.keys() <= set(method.query):
            flat.update(parts)
        else:
            flat[name] = value
    return flat


def _path_text(method: ApiMethod, name: str, arguments: Mapping[str, Value], *, is_reserved: bool) -> str:
    value = arguments.get(name)
    if value is None:
        raise type_error(f"{method.name}: missing argument '{name}'")
    if not isinstance(value, str) or not value:
        raise type_error(f"{method.name}: argument '{name}' must be a non-empty string")
    if is_reserved:
        return "/".join(quote(part, safe=":@!$&'()*+,;=~%") for part in value.split("/"))
    # Authors must encode path segments themselves (text.url_encode), so `%2F` passes and is not encoded again.
    return quote(value, safe="%/:@!$&'()*+,;=~")


def _query_text(method: ApiMethod, name: str, value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return encode_json(value)
        case _:
            raise type_error(f"{method.name}: argument '{name}' cannot be a query parameter")


def _as_list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]


def _content(method: ApiMethod, arguments: Mapping[str, Value]) -> tuple[dict[str, str], bytes | None]:
    value = arguments.get("body")
    match method.body, value:
        case BodyKind.NONE, _:
            return {}, None
        case BodyKind.JSON, None:
            return {"Content-Type": "application/json"}, b"{}"
        case BodyKind.JSON, dict():
            return {"Content-Type": "application/json"}, _json(method, value)
        case BodyKind.JSON, _:
            raise type_error(f"{method.name}: argument 'body' must be a map")
        case _, None:
            return {}, b""
        case _, bytes():
            return {"Content-Type": "application/octet-stream"}, value
        case _, str():
            return {"Content-Type": "text/plain; charset=utf-8"}, value.encode()
        case _:
            return {"Content-Type": "application/json"}, _json(method, value)


def _json(method: ApiMethod, value: Value) -> bytes:
    try:
        return encode_json(value).encode()
    except JsonEncodeError as error:
        raise value_error(f"{method.name}: {error}") from None
