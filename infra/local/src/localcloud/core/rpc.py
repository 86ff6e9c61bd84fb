"""gRPC methods around functions on JSON: Google's own message types in and out, and errors as statuses.

No generated service code is needed: a message becomes its proto3 JSON form, the same function answers as over REST,
and the answer becomes a message again.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2, status_pb2

from localcloud.core.faults import ConnectionLostError
from localcloud.core.google_errors import GoogleError, invalid_argument
from localcloud.core.json_values import Json

_GRACE_S = 0.2
assert error_details_pb2.Help.DESCRIPTOR is not None  # loaded, so that details can be made of their JSON
_STATUS = {code.value[0]: code for code in grpc.StatusCode}


def unary(
    request_type: Any, response_type: Any, answer: Callable[[Json], Awaitable[Json]], log: logging.Logger
) -> grpc.RpcMethodHandler:
    """Return the handler of a method with one request and one response.

    Args:
        request_type: message class, of protobuf or proto-plus.
        response_type: likewise.
        answer: takes the request as JSON and returns the response as JSON; its fields that the message has not are
            left out. A `GoogleError` that it raises becomes the status of the call.
        log: where a failure of localcloud itself is written, with the id that the caller is told.
    """
    request_message, response_message = _message_class(request_type), _message_class(response_type)

    async def serve(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            answered = await answer(_fields(request))
            return json_format.ParseDict(answered, response_message(), ignore_unknown_fields=True)
        except ConnectionLostError:
            await _hang_up(context)
        except GoogleError as error:
            await context.abort(_STATUS[error.grpc_code], error.message, _trailer(error))
        except Exception:
            request_id = uuid.uuid4().hex
            log.exception("request.broke %s %s", request_id, request_message.DESCRIPTOR.full_name)
            await context.abort(grpc.StatusCode.INTERNAL, f"Internal error; the log has it as request {request_id}")

    handler: Callable[[Any, Any], Awaitable[Any]] = serve
    return grpc.unary_unary_rpc_method_handler(
        handler,
        request_deserializer=request_message.FromString,
        response_serializer=response_message.SerializeToString,
    )


def _trailer(error: GoogleError) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata in which an error's details travel; none when it has none."""
    if not error.details:
        return ()
    details = [json_format.ParseDict(detail, any_pb2.Any()) for detail in error.details]
    status = status_pb2.Status(code=error.grpc_code, message=error.message, details=details)
    return (("grpc-status-details-bin", status.SerializeToString()),)


def _fields(request: Any) -> Json:
    """Return a request as JSON.

    Raises:
        GoogleError: INVALID_ARGUMENT, a field holds what has no JSON form, such as a time after the year 9999.
    """
    try:
        fields: Json = json_format.MessageToDict(request)
    except (ValueError, json_format.Error) as error:
        raise invalid_argument(f"Invalid request. {error}") from None
    return fields


class RpcServer:
    """A gRPC server on one port of its own.

    Args:
        add_services: registers the services on a server that has not started.
    """

    def __init__(self, add_services: Callable[[grpc.aio.Server], None]) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_services(self._server)

    async def start(self, host: str, port: int) -> int:
        """Open the port and return it; 0 picks a free one.

        Raises:
            OSError: the port is taken.
        """
        try:
            bound = int(self._server.add_insecure_port(f"{host}:{port}"))
        except RuntimeError as error:
            raise OSError(f"gRPC port {port} of {host} cannot be opened: {error}") from error
        await self._server.start()
        return bound

    async def stop(self) -> None:
        """Close the port; calls under way have a moment to end."""
        await self._server.stop(_GRACE_S)


def _message_class(kind: Any) -> Any:
    """Return the plain protobuf class of a proto-plus type, or the class itself."""
    return kind.pb() if hasattr(kind, "pb") else kind


async def _hang_up(context: Any) -> NoReturn:
    """End a call as a client sees a lost connection: UNAVAILABLE with gRPC's own words.

    Not the connection itself is closed: gRPC shares one among all calls of a client.
    """
    await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
    raise AssertionError("abort returned")
