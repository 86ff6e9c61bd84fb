"""The pages of traces: which there are, and the waterfall of one of them, a row a span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from localcloud.traces.store import Trace, TraceStore
from localcloud.traces.waterfall import SpanRow, span_of_time, waterfall
from localcloud.workflows.pages.bars import bar
from localcloud.workflows.pages.layout import ROOT, duration_text, facts, page, section, table, time_text
from localcloud.workflows.pages.markup import Child, Markup, h, join

TRACES: Final = f"{ROOT}/traces"
MAX_ROWS: Final = 1_000
"""Most spans that a page shows."""

_INDENT: Final = "│ "
_NONE: Final = "No span has come. Spans are taken as OTLP over HTTP, at /v1/traces of this port."


def traces_page(store: TraceStore) -> str:
    """Return the page of all traces."""
    rows = [_trace_row(trace) for trace in store.traces()]
    if not rows:
        return page("Traces", (), section("Kept", h("p", _NONE, class_="soft")))
    headings = ("Trace", "Began", "Took", "Spans", "Failed")
    return page("Traces", (), section("Kept", table(headings, rows, caption="Traces")))


def trace_page(trace: Trace) -> str:
    """Return the page of one trace; it refreshes itself, as spans of it may still arrive."""
    rows = waterfall(trace)
    services = sorted({row.span.service for row in rows if row.span.service})
    about = facts(
        [
            ("Began", time_text(rows[0].span.start_s - rows[0].start_s) if rows else None),
            ("Took", duration_text(span_of_time(rows))),
            ("Spans", f"{len(trace.spans)}{f' and {trace.dropped} that were too many' if trace.dropped else ''}"),
            ("Services", ", ".join(services) or None),
        ]
    )
    return page(
        f"Trace {trace.trace_id}",
        [("Traces", TRACES)],
        section("Trace", h("div", about, data_live=True), part="trace"),
        section("Spans", _table(rows), part="spans"),
        is_live=True,
    )


def _trace_row(trace: Trace) -> Sequence[Child]:
    rows = waterfall(trace)
    failed = sum(row.span.failure is not None for row in rows)
    link = h("a", h("code", trace.trace_id), href=f"{TRACES}/{trace.trace_id}")
    return (
        [rows[0].span.name, " ", link],
        time_text(rows[0].span.start_s),
        h("span", duration_text(span_of_time(rows)), class_="duration"),
        h("span", len(rows), class_="number"),
        h("span", failed, class_="number") if failed else None,
    )


def _table(rows: Sequence[SpanRow]) -> list[Child]:
    span_s = span_of_time(list(rows))
    head = h("tr", [h("th", text, scope="col") for text in ("Span", "Service", "Took", "When")])
    body = h("tbody", [_row(row, span_s) for row in rows[:MAX_ROWS]])
    inner = h("table", h("caption", "Spans, nested by parent"), h("thead", head), body, class_="timeline")
    cut = h("p", f"The first {MAX_ROWS} of {len(rows)} spans.", class_="soft") if len(rows) > MAX_ROWS else None
    return [h("div", inner, class_="scroll", tabindex="0", role="region", aria_label="Spans"), cut]


def _row(row: SpanRow, span_s: float) -> Markup:
    span = row.span
    state = "failed" if span.failure is not None else "succeeded"
    took = duration_text(row.duration_s)
    said = f"{span.name}: from {duration_text(row.start_s)}, {took}, {state}"
    guide = h("span", _INDENT * row.depth, class_="guide", aria_hidden="true")
    return h(
        "tr",
        h("td", guide, _name(row), class_="name"),
        h("td", h("span", span.service, class_="kind")),
        h("td", h("span", took, class_="duration")),
        h("td", bar(row.start_s, row.duration_s, span_s, said)),
        class_=state,
    )


def _name(row: SpanRow) -> Markup:
    """Return the span's name; what is known of it opens below."""
    label = h("span", row.span.name, class_="step")
    known = sorted(row.span.attributes.items())
    if row.span.failure is not None:
        known = [("Failed", row.span.failure), *known]
    if not known:
        return label
    values = h("dl", [join((h("dt", name), h("dd", h("code", text)))) for name, text in known])
    return h("details", h("summary", label), values)
