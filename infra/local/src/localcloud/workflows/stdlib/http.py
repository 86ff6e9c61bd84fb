"""`http`: requests to the world, and what their answers become.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/http/request and
https://cloud.google.com/workflows/docs/http-requests
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import fields

from localcloud.workflows.errors import (
    connection_error,
    connection_failed_error,
    http_error,
    resource_limit_error,
    timeout_error,
)
from localcloud.workflows.functions.signatures import BlockingFunction, Function, Parameter
from localcloud.workflows.http_bodies import value_from_body
from localcloud.workflows.limits import MAX_HTTP_RESPONSE_BYTES
from localcloud.workflows.runtime.host import (
    Host,
    HttpConnectionBroken,
    HttpConnectionFailed,
    HttpRequest,
    HttpResponse,
    HttpTimedOut,
)
from localcloud.workflows.stdlib.http_encoding import HttpArguments, build_request
from localcloud.workflows.values import Value

_FIRST_ERROR_CODE = 400
_EMULATED = len(fields(HttpArguments))

_URL = Parameter("url")
_TIMEOUT = Parameter("timeout", None)
_BODY = Parameter("body", None)
_HEADERS = Parameter("headers", None)
_QUERY = Parameter("query", None)
_AUTH = Parameter("auth", None)
_NOT_EMULATED = (
    Parameter("private_service_name", None, is_emulated=False),
    Parameter("ca_certificate", None, is_emulated=False),
)


async def send(host: Host, request: HttpRequest) -> dict[str, Value]:
    """Send a request and return `{"body": ..., "code": 200, "headers": {...}}`.

    Raises:
        WorkflowError: HttpError for a status of 400 and above, the connection and timeout errors, and the uncatchable
            ResourceLimitError for an answer above 2 MB.
    """
    try:
        response = await host.http.send(request)
    except HttpConnectionFailed as error:
        raise connection_failed_error(str(error) or f"no connection to {request.url}") from None
    except HttpConnectionBroken as error:
        raise connection_error(str(error) or f"connection to {request.url} broke") from None
    except HttpTimedOut:
        raise timeout_error(f"no answer within {request.timeout_s:g} seconds") from None
    if len(response.body) > MAX_HTTP_RESPONSE_BYTES:
        raise resource_limit_error(f"HTTP response is larger than {MAX_HTTP_RESPONSE_BYTES} bytes")
    body = value_from_body(response.body, _content_type(response))
    if response.code >= _FIRST_ERROR_CODE:
        raise http_error(response.code, response.headers, body)
    return {"body": body, "code": response.code, "headers": dict(response.headers)}


def _content_type(response: HttpResponse) -> str:
    return next((value for name, value in response.headers.items() if name.lower() == "content-type"), "")


async def _request(host: Host, *arguments: Value) -> Value:
    return await send(host, build_request(host, HttpArguments(*arguments[:_EMULATED])))


async def _get(host: Host, url: Value, *rest: Value) -> Value:
    limit, *others = rest
    return await _request(host, "GET", url, limit, None, *others)


def _with_body(method: str) -> Callable[..., Awaitable[Value]]:
    async def call(host: Host, *arguments: Value) -> Value:
        return await _request(host, method, *arguments)

    return call


_COMMON = (_HEADERS, _QUERY, _AUTH, *_NOT_EMULATED)

FUNCTIONS: tuple[Function, ...] = (
    BlockingFunction("http.get", (_URL, _TIMEOUT, *_COMMON), _get),
    *(
        BlockingFunction(f"http.{method.lower()}", (_URL, _TIMEOUT, _BODY, *_COMMON), _with_body(method))
        for method in ("POST", "PUT", "PATCH", "DELETE")
    ),
    BlockingFunction("http.request", (Parameter("method"), _URL, _TIMEOUT, _BODY, *_COMMON), _request),
)
