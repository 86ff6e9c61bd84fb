"""Spans: read from OTLP, kept within bounds, arranged by what caused them."""

from __future__ import annotations

import random

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from localcloud.core.google_errors import GoogleError
from localcloud.traces.otlp import spans_in
from localcloud.traces.store import Span, Trace, TraceStore
from localcloud.traces.waterfall import span_of_time, waterfall

TRACE = "0af7651916cd43dd8448eb211c80319c"


def span(span_id: str, parent_id: str = "", start_s: float = 0.0, trace_id: str = TRACE) -> Span:
    return Span(trace_id, span_id, parent_id, f"span {span_id}", "shop", start_s, start_s + 1)


def shown(*spans: Span) -> list[tuple[int, str]]:
    """Return depth and id of each row."""
    return [(row.depth, row.span.span_id) for row in waterfall(Trace(TRACE, {each.span_id: each for each in spans}))]


def sent(*, trace_id: bytes = bytes.fromhex(TRACE), failed: bool = False) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    name = resource_spans.resource.attributes.add()
    name.key, name.value.string_value = "service.name", "shop"
    each = resource_spans.scope_spans.add().spans.add()
    each.trace_id, each.span_id, each.name = trace_id, b"\x01" * 8, "fetch"
    each.start_time_unix_nano, each.end_time_unix_nano = 1_500_000_000, 2_500_000_000
    fact = each.attributes.add()
    fact.key, fact.value.bool_value = "whole", True
    if failed:
        each.status.code, each.status.message = 2, "TIMEOUT"
    return request.SerializeToString()


def test_a_span_is_read_with_its_service_times_and_facts() -> None:
    """As OpenTelemetry sends it."""
    assert spans_in(sent()) == [Span(TRACE, "01" * 8, "", "fetch", "shop", 1.5, 2.5, None, {"whole": "true"})]
    assert [each.failure for each in spans_in(sent(failed=True))] == ["TIMEOUT"]


@pytest.mark.parametrize("body", [b"no protobuf", sent(trace_id=b""), sent(trace_id=b"\x01" * 17)], ids=range(3))
def test_what_is_no_span_is_refused(body: bytes) -> None:
    """With 400, not with a crash."""
    with pytest.raises(GoogleError) as refused:
        spans_in(body)

    assert refused.value.status == "INVALID_ARGUMENT"


def test_bytes_of_any_kind_are_read_or_refused() -> None:
    """Whatever comes to the port."""
    chance = random.Random(7)
    whole = sent()
    for _ in range(300):
        body = bytearray(whole)
        for _change in range(3):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            waterfall(Trace(TRACE, {each.span_id: each for each in spans_in(bytes(body))}))
        except GoogleError:
            continue


def test_children_stand_below_their_parent_in_the_order_they_began() -> None:
    """Whatever the order in which they arrived."""
    spans = [span("c", "a", 3), span("d", "b", 2.5), span("b", "a", 2), span("a", start_s=1)]

    assert shown(*spans) == [(0, "a"), (1, "b"), (2, "d"), (1, "c")]
    assert span_of_time(waterfall(Trace(TRACE, {each.span_id: each for each in spans}))) == 3


def test_a_span_whose_parent_is_not_there_stands_by_itself() -> None:
    """It was not recorded, or has not ended yet; also spans that claim each other for a parent are shown once."""
    assert shown(span("b", "missing", 1), span("a")) == [(0, "a"), (0, "b")]
    assert shown(span("x", "y"), span("y", "x", 1), span("z", "z", 2)) == [(0, "z"), (0, "x"), (1, "y")]


def test_so_many_traces_and_spans_are_kept() -> None:
    """The oldest trace goes; what is too much of one trace is counted."""
    store = TraceStore(max_traces=2, max_spans=2)

    store.add(span(number, trace_id=trace) for trace in "abc" for number in ("1", "2", "2", "3"))

    assert [(trace.trace_id, len(trace.spans), trace.dropped) for trace in store.traces()] == [("c", 2, 1), ("b", 2, 1)]
    assert store.trace("a") is None
