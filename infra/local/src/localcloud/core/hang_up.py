"""How a server closes a connection without an answer, for ordered faults."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from aiohttp import web


def hang_up(request: web.BaseRequest) -> web.Response:
    """Close the connection of an HTTP request; the response that aiohttp wants goes nowhere."""
    if request.transport is not None:
        request.transport.close()
    return web.Response(status=500)


async def hang_up_rpc(context: Any) -> NoReturn:
    """End a call as a client sees a lost connection: UNAVAILABLE with gRPC's own words.

    Not the connection itself is closed: gRPC shares one among all calls of a client.
    """
    await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
    raise AssertionError("abort returned")
