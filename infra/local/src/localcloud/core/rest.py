"""The HTTP server of every emulated service: it reads bodies, serves `/_local/` and turns errors into AIP-193 JSON.

A service gives one function that answers a request. aiohttp's low-level server is used, because its router would cost
more than the rest of a request.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from localcloud.core.callers import Callers
from localcloud.core.control import PREFIX, Control
from localcloud.core.faults import ConnectionLostError
from localcloud.core.google_errors import GoogleError, invalid_argument
from localcloud.core.google_hosts import own_address
from localcloud.core.json_values import Json
from localcloud.core.partial_response import parse_selector, selected

MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""Larger bodies are refused. The largest lawful ones are base64 of a task of 1 MB and an escaped source of 128 KB."""

_OK = 200
_KEEP_ALIVE_S = 75.0
_STOP_GRACE_S = 1.0

Answer = Callable[[web.BaseRequest, bytes], Awaitable[web.StreamResponse]]
"""Answers one request, whose body is the second argument."""


class RestServer:
    """One HTTP port.

    Args:
        answer: answers every request but those below `/_local/`; a `GoogleError` that it raises becomes JSON.
        control: answers below `/_local/`.
        log: where a failure of localcloud itself is written, with the id that the caller is told.
        callers: decides whose requests are answered.
    """

    def __init__(self, answer: Answer, control: Control, log: logging.Logger, callers: Callers | None = None) -> None:
        self._answer = answer
        self._control = control
        self._log = log
        self._callers = callers or Callers()
        self._runner = web.ServerRunner(
            web.Server(self._handle, keepalive_timeout=_KEEP_ALIVE_S, access_log=None), shutdown_timeout=_STOP_GRACE_S
        )
        self._host = ""
        self.port = 0
        """Where it listens, once started."""

    @property
    def base_url(self) -> str:
        """`http://HOST:PORT`, without a trailing slash."""
        return f"http://{own_address(self._host)}:{self.port}"

    async def start(self, host: str, port: int) -> None:
        """Open the port; 0 picks a free one.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._host = host
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and the connections."""
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._callers.check(request)
            body = await _read(request) if request.body_exists else b""
            if request.path.startswith(PREFIX):
                return json_response(await self._control.answer(request.method, request.path, json_from_body(body)))
            return await self._wanted(request, body)
        except ConnectionLostError:
            return hang_up(request)
        except GoogleError as error:
            return json_response(error.to_json(), error.http_code)
        except Exception:  # noqa: BLE001 - a bug of localcloud is answered 500 and logged
            request_id = uuid.uuid4().hex
            self._log.exception("request.broke %s %s %s", request_id, request.method, request.path)
            internal = GoogleError("INTERNAL", f"Internal error; the log has it as request {request_id}")
            return json_response(internal.to_json(), internal.http_code)

    async def _wanted(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """Answer, with the parts only that the system parameter `fields` wants."""
        selector = request.query.get("fields") or request.query.get("$fields")
        if not selector:
            return await self._answer(request, body)
        tree = parse_selector(selector)
        answer = await self._answer(request, body)
        if not isinstance(answer, web.Response) or answer.content_type != "application/json" or answer.status != _OK:
            return answer
        return json_response(selected(json.loads(answer.text or "{}"), tree))


def json_response(body: Json, status: int = 200) -> web.Response:
    """Return an answer with a JSON body, written as Google writes its content type."""
    return web.Response(
        status=status,
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"),
        headers={"Content-Type": "application/json; charset=UTF-8"},
    )


def json_from_body(body: bytes) -> Any:
    """Return the JSON value of a body; a blank one is `{}`.

    Raises:
        GoogleError: INVALID_ARGUMENT, it is not JSON in UTF-8, or has half of a surrogate pair, which no text can hold.
    """
    if not body.strip():
        return {}
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"Invalid JSON payload received. {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def hang_up(request: web.BaseRequest) -> web.Response:
    """Close the connection without an answer, for an ordered fault; the response that aiohttp wants goes nowhere."""
    if request.transport is not None:
        request.transport.close()
    return web.Response(status=500)


async def _read(request: web.BaseRequest) -> bytes:
    # Not request.read(): its limit of 1 MiB is below base64 of the largest task.
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise invalid_argument(f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.")
    return bytes(body)
