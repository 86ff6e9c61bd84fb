"""Trace context: taken over, carried on, never trusted."""

from __future__ import annotations

from contextvars import Context, copy_context

import pytest

from chassis.tracing import begin_trace, trace_headers

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        {"Traceparent": f"00-{TRACE}-b7ad6b7169203331-00"},
        {"X-Cloud-Trace-Context": f"{TRACE.upper()}/123;o=1"},
        {"X-Cloud-Trace-Context": TRACE},
    ],
)
def test_a_callers_trace_is_continued(headers: dict[str, str]) -> None:
    """In either form, header names in any case."""
    assert copy_context().run(begin_trace, headers).trace_id == TRACE


@pytest.mark.parametrize(
    "value", ["", "garbage", f"00-{TRACE[:-1]}-b7ad6b7169203331-01", f"00-{TRACE}-b7ad6b7169203331-01\r\nX: y"]
)
def test_a_malformed_trace_is_replaced(value: str) -> None:
    """A new trace begins; nothing of the header is kept."""
    begun = copy_context().run(begin_trace, {"traceparent": value})

    assert begun.trace_id != TRACE
    assert len(begun.trace_id) == 32


def test_outgoing_calls_carry_the_trace_of_their_request_only() -> None:
    """Outside of a request there is none."""

    def within() -> dict[str, str]:
        begin_trace({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
        return trace_headers()

    assert copy_context().run(within)["traceparent"].startswith(f"00-{TRACE}-")
    assert Context().run(trace_headers) == {}
