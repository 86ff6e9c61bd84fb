"""The spans of a trace as rows: nested by parent, in the order they began.

Does not know about: HTML.
"""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.traces.store import Span, Trace


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One span; `depth` spans are around it, it begins `start_s` after the first span of the trace."""

    span: Span
    depth: int
    start_s: float

    @property
    def duration_s(self) -> float:
        """How long it took, seconds."""
        return max(0.0, self.span.end_s - self.span.start_s)


def waterfall(trace: Trace) -> list[SpanRow]:
    """Return all spans depth first; one whose parent is not there (yet) stands with the roots."""
    spans = sorted(trace.spans.values(), key=lambda span: (span.start_s, span.span_id))
    if not spans:
        return []
    below: dict[str, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in trace.spans and span.parent_id != span.span_id else ""
        below.setdefault(parent, []).append(span)
    rows: list[SpanRow] = []
    seen: set[str] = set()
    # A stack, not recursion: strangers may nest spans as deep as they like. Spans that are their own parents over a
    # detour hang below no root; they come last, as roots.
    for roots in (below.get("", []), spans):
        waiting = [(span, 0) for span in reversed(roots) if span.span_id not in seen]
        while waiting:
            span, depth = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            rows.append(SpanRow(span, depth, span.start_s - spans[0].start_s))
            waiting += [(child, depth + 1) for child in reversed(below.get(span.span_id, []))]
    return rows


def span_of_time(rows: list[SpanRow]) -> float:
    """Return how many seconds lie between the first beginning and the last end."""
    return max((row.start_s + row.duration_s for row in rows), default=0.0)
