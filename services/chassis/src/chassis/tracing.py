"""Trace context across services: taken from the request, bound to the logs, sent with outgoing calls.

Sources: https://www.w3.org/TR/trace-context/ (traceparent) and
https://cloud.google.com/trace/docs/trace-context (X-Cloud-Trace-Context, which Cloud Run still adds).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_CLOUD_TRACE = re.compile(r"([0-9a-fA-F]{32})(?:/[0-9]+)?(?:;.*)?")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace id of 32 hex digits and this process's span id of 16."""

    trace_id: str
    span_id: str

    def headers(self) -> dict[str, str]:
        """Return the header that carries the trace on."""
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}


_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def begin_trace(headers: Mapping[str, str]) -> TraceContext:
    """Continue the caller's trace, or begin one, and make it the current one of this context."""
    lowered = {name.lower(): value for name, value in headers.items()}
    trace_id = secrets.token_hex(16)
    if match := _TRACEPARENT.fullmatch(lowered.get("traceparent", "")):
        trace_id = match.group(1)
    elif match := _CLOUD_TRACE.fullmatch(lowered.get("x-cloud-trace-context", "")):
        trace_id = match.group(1).lower()
    context = TraceContext(trace_id, secrets.token_hex(8))
    _current.set(context)
    return context


def batch_trace_headers(request_id: UUID) -> dict[str, str]:
    """Return the headers of what is done for a batch: its trace id is its request_id, by which all of it is found."""
    return TraceContext(request_id.hex, secrets.token_hex(8)).headers()


def trace_headers() -> dict[str, str]:
    """Return the headers for an outgoing call: empty outside of a request."""
    context = _current.get()
    return context.headers() if context else {}
