"""Trace context: taken over, carried on, never trusted; and which spans come of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context, copy_context
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from werkzeug.datastructures import Headers

from chassis.google.span_recorder import SpanRecorder
from chassis.tracing import (
    TraceContext,
    begin_trace,
    carrying,
    first_span,
    is_drawn,
    record_by,
    record_past_span,
    span,
    span_id_of,
    trace_headers,
    work_span,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
STRANGER = f"00-{TRACE}-b7ad6b7169203331-01"
WORK = UUID("6b1f3c2e-58a4-4d0b-9a55-0f5ad2e7c318")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Recording:
    """What a recorder took."""

    def __init__(self, ratio: float) -> None:
        self.exporter = InMemorySpanExporter()
        self.recorder = SpanRecorder(self.exporter, service="s", project="p", revision="", ratio=ratio)

    def spans(self) -> dict[str, ReadableSpan]:
        """Stop, and return all spans by name."""
        self.recorder.stop()
        return {each.name: each for each in self.exporter.get_finished_spans()}


@pytest.fixture(name="recording", params=[1.0])
def _recording(request: pytest.FixtureRequest) -> Iterator[Recording]:
    recording = Recording(request.param)
    record_by(recording.recorder)
    yield recording
    record_by(None)
    recording.recorder.stop()


def ids(recorded: ReadableSpan) -> tuple[str, str, str | None]:
    """Return trace, span and parent."""
    parent = None if recorded.parent is None else f"{recorded.parent.span_id:016x}"
    return f"{recorded.context.trace_id:032x}", f"{recorded.context.span_id:016x}", parent


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": STRANGER},
        {"Traceparent": f"00-{TRACE}-b7ad6b7169203331-00"},
        {"X-Cloud-Trace-Context": f"{TRACE.upper()}/123;o=1"},
        {"X-Cloud-Trace-Context": TRACE},
    ],
)
def test_a_callers_trace_is_continued(headers: dict[str, str]) -> None:
    """In either form, header names in any case, as Flask has them."""
    assert copy_context().run(begin_trace, Headers(headers)).trace_id == TRACE


MALFORMED = [
    "",
    "garbage",
    f"00-{TRACE[:-1]}-b7ad6b7169203331-01",
    f"{STRANGER}\r\nX: y",
    f"00-{TRACE.upper()}-b7ad6b7169203331-01",
    f"ff-{TRACE}-b7ad6b7169203331-01",
    f"00-{'0' * 32}-b7ad6b7169203331-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"{STRANGER}-more",
    f"{STRANGER}, {STRANGER}",
    "00-" + "٠" * 32 + "-b7ad6b7169203331-01",
    "a" * 100_000,
]


@pytest.mark.parametrize("value", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_trace_is_replaced(value: str) -> None:
    """A new trace begins; nothing of the header is kept."""
    begun = copy_context().run(begin_trace, {"traceparent": value, "tracestate": value})

    assert begun.trace_id != TRACE
    assert len(begun.trace_id) == 32
    assert set(begun.trace_id) != {"0"}


def test_outgoing_calls_carry_the_trace_of_their_request_only() -> None:
    """Outside of a request there is none; a caller's wish to be recorded and its tracestate are not handed on."""

    def within() -> dict[str, str]:
        begin_trace({"traceparent": STRANGER, "tracestate": "vendor=wish"})
        return trace_headers()

    sent = copy_context().run(within)
    assert sent["traceparent"].startswith(f"00-{TRACE}-")
    assert sent["traceparent"].endswith("-00")
    assert sent.keys() == {"traceparent"}
    assert Context().run(trace_headers) == {}


def test_a_works_trace_has_its_id_and_its_first_span_no_parent(recording: Recording) -> None:
    """The stranger whose request began it is linked; the span lasts from the arrival."""

    def within() -> None:
        begin_trace({"traceparent": STRANGER}, at=NOON)
        with first_span("upload", WORK, rows=3), span("inner"):
            pass

    copy_context().run(within)

    spans = recording.spans()
    assert ids(spans["upload"]) == (WORK.hex, span_id_of(WORK, "upload"), None)
    assert ids(spans["inner"])[::2] == (WORK.hex, span_id_of(WORK, "upload"))
    assert [f"{link.context.trace_id:032x}" for link in spans["upload"].links] == [TRACE]
    assert spans["upload"].start_time == NOON.timestamp() * 1e9
    assert spans["upload"].attributes == {"rows": 3}


@pytest.mark.parametrize("recording", [1e-9], indirect=True)
@pytest.mark.parametrize("trace", [TRACE, WORK.hex], ids=["another", "guessed"])
def test_no_stranger_gets_recorded_by_asking(recording: Recording, trace: str) -> None:
    """Neither with a sampled trace of his own nor with one that he guessed: only the work's id decides."""

    def within() -> None:
        begin_trace({"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        with first_span("upload", WORK), span("inner"):
            assert trace_headers()["traceparent"].endswith("-00")

    copy_context().run(within)

    assert recording.spans() == {}


def test_a_part_of_ours_continues_what_its_caller_began(recording: Recording) -> None:
    """Below the span that the header names, when the header names this work."""

    def within() -> None:
        begin_trace(TraceContext(WORK.hex, "b7ad6b7169203331", sampled=True).headers())
        with work_span("task", WORK, under=None):
            pass

    copy_context().run(within)

    assert ids(recording.spans()["task"])[::2] == (WORK.hex, "b7ad6b7169203331")


@pytest.mark.parametrize("headers", [{}, {"traceparent": STRANGER}, {"traceparent": "garbage"}], ids=range(3))
def test_without_a_trace_of_the_work_the_parent_follows_from_its_id(
    recording: Recording, headers: dict[str, str]
) -> None:
    """What the front end made up counts no more than nothing; what there are very many of is not recorded then."""

    def within() -> None:
        begin_trace(headers)
        with work_span("claim", WORK, under="workflow"), work_span("task", WORK, under=None):
            pass

    copy_context().run(within)

    spans = recording.spans()
    assert ids(spans["claim"])[::2] == (WORK.hex, span_id_of(WORK, "workflow"))
    assert spans.keys() == {"claim"}


def test_what_the_caller_left_out_is_left_out(recording: Recording) -> None:
    """A task whose image is not followed is not recorded, nor what it calls."""

    def within() -> None:
        begin_trace(TraceContext(WORK.hex, "b7ad6b7169203331", sampled=False).headers())
        with work_span("task", WORK, under="workflow"), span("fetch"):
            assert trace_headers()["traceparent"].endswith("-00")

    copy_context().run(within)

    assert recording.spans() == {}


def test_a_span_that_was_left_out_is_not_recorded(recording: Recording) -> None:
    """Whatever was said of it."""

    def within() -> None:
        begin_trace({})
        with work_span("claim", WORK, under="workflow") as claiming:
            claiming.set(images=0)
            claiming.leave_out()

    copy_context().run(within)

    assert recording.spans() == {}


def test_a_failure_is_a_word_and_no_message(recording: Recording) -> None:
    """Messages may hold what users sent."""

    def within() -> None:
        begin_trace({})
        with work_span("claim", WORK, under="workflow"):
            raise ValueError("https://shop.example/?token=secret")

    with pytest.raises(ValueError, match="secret"):
        copy_context().run(within)

    recorded = recording.spans()["claim"]
    assert recorded.status.description == "ValueError"
    assert "secret" not in recorded.to_json()


def test_a_span_of_the_past_has_the_id_that_others_named(recording: Recording) -> None:
    """It is recorded when it has ended, its children long before."""
    record_past_span("workflow", WORK, under="upload", began=NOON, ended=NOON.replace(hour=13), images=2)

    recorded = recording.spans()["workflow"]
    assert ids(recorded) == (WORK.hex, span_id_of(WORK, "workflow"), span_id_of(WORK, "upload"))
    assert recorded.start_time is not None
    assert recorded.end_time == recorded.start_time + 3600 * 10**9


def test_what_is_carried_belongs_to_the_work_and_no_longer() -> None:
    """Calls of a sweep, which looks after many works."""

    def within() -> tuple[dict[str, str], dict[str, str]]:
        begin_trace({"traceparent": STRANGER})
        with carrying(WORK, under="workflow", sampled=True):
            inside = trace_headers()
        return inside, trace_headers()

    inside, after = copy_context().run(within)
    assert inside == {"traceparent": f"00-{WORK.hex}-{span_id_of(WORK, 'workflow')}-01"}
    assert TRACE in after["traceparent"]


def test_as_many_works_are_drawn_as_the_share_says() -> None:
    """The same ones by whomever and whenever; a larger share has all of a smaller one."""
    works = [uuid4() for _ in range(4000)]

    drawn = [{work for work in works if is_drawn(work, share)} for share in (0, 0.1, 0.5, 1)]

    assert (len(drawn[0]), len(drawn[3])) == (0, 4000)
    assert 250 < len(drawn[1]) < 600
    assert drawn[1] < drawn[2] < drawn[3]


def test_without_a_recorder_nothing_is_recorded() -> None:
    """All spans are one and the same, which does nothing."""
    begun = [span("a"), first_span("b", WORK), work_span("c", WORK, under="b")]
    record_past_span("d", WORK, under="b", began=NOON, ended=NOON)

    assert len(set(map(id, begun))) == 1
