"""Reads spans from the body of `POST /v1/traces`: OTLP in protobuf, as OpenTelemetry's exporters send it.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp and opentelemetry/proto/trace/v1/trace.proto.
"""

from __future__ import annotations

from typing import Any, Final

from localcloud.core.google_errors import GoogleError, invalid_argument
from localcloud.traces.store import Span

CONTENT_TYPE: Final = "application/x-protobuf"

_MAX_TEXT: Final = 200
_MAX_ATTRIBUTES: Final = 30
_ERROR: Final = 2
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8


def spans_in(body: bytes) -> list[Span]:
    """Return the spans of a request.

    Raises:
        GoogleError: INVALID_ARGUMENT, it is no `ExportTraceServiceRequest`, or an id has another length; UNIMPLEMENTED,
            OTLP is not installed.
    """
    try:
        # Here, not above: they are an extra of the installation, and few stacks send spans.
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ModuleNotFoundError:
        raise GoogleError(
            "UNIMPLEMENTED", "Spans are read where OTLP is: pip install 'gcp-localcloud[traces]'"
        ) from None
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise invalid_argument(f"The body is no ExportTraceServiceRequest: {error}") from None
    found = []
    for resource_spans in request.resource_spans:
        service = _attributes(resource_spans.resource.attributes).get("service.name", "")
        found += [_span(each, service) for scope in resource_spans.scope_spans for each in scope.spans]
    return found


def _span(sent: Any, service: str) -> Span:
    if len(sent.trace_id) != _TRACE_ID_BYTES or len(sent.span_id) != _SPAN_ID_BYTES:
        raise invalid_argument("A trace id has 16 bytes and a span id has 8.")
    failed = sent.status.code == _ERROR
    return Span(
        trace_id=sent.trace_id.hex(),
        span_id=sent.span_id.hex(),
        parent_id=sent.parent_span_id.hex(),
        name=sent.name[:_MAX_TEXT],
        service=service,
        start_s=sent.start_time_unix_nano / 1e9,
        end_s=sent.end_time_unix_nano / 1e9,
        failure=(sent.status.message[:_MAX_TEXT] or "failed") if failed else None,
        attributes=_attributes(sent.attributes),
    )


def _attributes(sent: Any) -> dict[str, str]:
    return {each.key[:_MAX_TEXT]: _text(each.value)[:_MAX_TEXT] for each in sent[:_MAX_ATTRIBUTES]}


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    given = getattr(value, kind)
    return str(given).lower() if isinstance(given, bool) else str(given)
