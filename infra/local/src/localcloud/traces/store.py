"""Spans by trace, as many as a laptop should keep.

Does not know about: HTTP, protobuf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_TRACES: Final = 200
"""Traces that are kept; the one that began to arrive first goes first."""

MAX_SPANS: Final = 5_000
"""Spans of one trace that are kept; later ones are counted."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        parent_id: the span around it; "" when there is none.
        name: what was done.
        service: by whom.
        start_s: seconds since 1970.
        end_s: likewise.
        failure: why it failed, "failed" without a reason; None when it did not.
        attributes: facts about it.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    start_s: float
    end_s: float
    failure: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Trace:
    """The spans of one trace in the order of their arrival, and how many were too many."""

    trace_id: str
    spans: dict[str, Span] = field(default_factory=dict)
    dropped: int = 0


class TraceStore:
    """The traces of one server."""

    def __init__(self, *, max_traces: int = MAX_TRACES, max_spans: int = MAX_SPANS) -> None:
        self._max_traces = max_traces
        self._max_spans = max_spans
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._traces: dict[str, Trace] = {}

    def add(self, spans: Iterable[Span]) -> None:
        """Keep spans; one that comes again replaces itself."""
        for span in spans:
            trace = self._traces.get(span.trace_id)
            if trace is None:
                if len(self._traces) >= self._max_traces:
                    del self._traces[next(iter(self._traces))]
                trace = self._traces[span.trace_id] = Trace(span.trace_id)
            if len(trace.spans) >= self._max_spans and span.span_id not in trace.spans:
                trace.dropped += 1
            else:
                trace.spans[span.span_id] = span

    def trace(self, trace_id: str) -> Trace | None:
        """Return a trace; None when nothing of it is kept."""
        return self._traces.get(trace_id)

    def traces(self) -> list[Trace]:
        """Return all traces, the newest first."""
        return list(reversed(self._traces.values()))
