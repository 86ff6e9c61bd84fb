"""How batches end, are cancelled, and are tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis.google.span_recorder import SpanRecorder
from chassis.tracing import record_by, span_id_of
from ingest.batches.cancel import cancel_batch
from support.ingest_service import Lab, MakeLab

A, B, C = "https://a.example/1.jpg", "https://a.example/2.jpg", "https://a.example/3.jpg"
GONE = {"outcome": "FAILED", "code": "HTTP_404", "detail": "not there"}
TROUBLE = {"outcome": "FAILED", "code": "HTTP_503", "detail": "busy", "transient": True}


def run(lab: Lab, request_id: str, *outcomes: dict[str, Any]) -> Any:
    """Report one outcome for each image and finish."""
    execution = lab.start(request_id)
    for payload, outcome in zip(lab.claim(request_id, execution), outcomes, strict=True):
        lab.report(payload, **outcome)
    return lab.finish(request_id, execution)


@pytest.mark.feature("16")
@pytest.mark.parametrize(
    ("outcomes", "status", "message"),
    [
        ([{}, {}], "COMPLETED", "Compression done"),
        ([{}, GONE], "COMPLETED_WITH_ERRORS", "Compression done with errors: 1 of 2 images failed"),
        ([GONE, GONE], "FAILED", "Failed: none of 2 images could be compressed"),
    ],
)
def test_the_counters_decide_how_a_batch_ends(lab: Lab, outcomes: list[Any], status: str, message: str) -> None:
    """Partial success is a status of its own."""
    request_id = lab.submit(f"{A} {B}")

    ending = run(lab, request_id, *outcomes).json

    assert (ending["status"], ending["message"], ending["generation"]) == (status, message, 1)
    assert lab.status(request_id)["status"] == status


def test_finish_may_be_repeated(lab: Lab) -> None:
    """The second answer is the first one."""
    request_id = lab.submit(A)
    execution = lab.finish_all(request_id)

    again = [lab.finish(request_id, execution).json for _ in range(2)]

    assert again[0] == again[1]
    assert again[0]["finished_at"] == lab.status(request_id)["finished_at"]


def test_a_batch_with_open_images_cannot_be_finished(lab: Lab) -> None:
    """400 BATCH_OPEN: nobody announces an end that is none."""
    request_id = lab.submit(A)
    answer = lab.finish(request_id, lab.start(request_id))
    assert (answer.code, answer.reason) == (400, "BATCH_OPEN")
    assert answer.json["error"]["details"][0]["metadata"] == {"request_id": request_id}


@pytest.fixture(name="spans")
def _spans() -> Iterator[Callable[[], list[ReadableSpan]]]:
    """Record everything; give what was recorded of whole runs."""
    exporter = InMemorySpanExporter()
    recorder = SpanRecorder(exporter, service="s", project="p", revision="", ratio=1.0)
    record_by(recorder)

    def read() -> list[ReadableSpan]:
        recorder.stop()
        return [span for span in exporter.get_finished_spans() if span.name == "workflow"]

    yield read
    record_by(None)
    recorder.stop()


def test_the_trace_of_a_batch_has_one_span_for_its_first_run(lab: Lab, spans: Callable[[], list[ReadableSpan]]) -> None:
    """From the start to the end, below the upload; a retry is no part of it."""
    request_id = lab.submit(f"{A} {B}")
    run(lab, request_id, {}, GONE)
    row = lab.batch_row(request_id)
    lab.post("/retry", {"request_id": request_id})
    run(lab, request_id, GONE)

    [span] = spans()
    batch = UUID(request_id)
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", f"{span.parent.span_id:016x}") == (
        batch.hex,
        span_id_of(batch, "workflow"),
        span_id_of(batch, "upload"),
    )
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time / 1e9 == pytest.approx(row["started_at"].timestamp(), abs=1e-5)
    assert span.end_time / 1e9 == pytest.approx(row["finished_at"].timestamp(), abs=1e-5)
    assert span.attributes == {
        "status": "COMPLETED_WITH_ERRORS",
        "total": 2,
        "pending": 0,
        "succeeded": 1,
        "failed": 1,
    }


def test_a_run_that_supervision_could_not_end_is_shown_too(
    make_lab: MakeLab, spans: Callable[[], list[ReadableSpan]]
) -> None:
    """With the failure that ended it; those before it end no run."""
    lab = make_lab(INGEST_MAX_EXECUTION_FAILURES="2")
    request_id = lab.submit(A)
    for _failure in range(2):
        lab.batch_call(request_id, "fail", execution=lab.start(request_id), step="claim", error="x")

    [span] = spans()
    assert (span.attributes or {})["status"] == "FAILED"


def test_a_batch_that_was_never_begun_has_no_run_to_show(lab: Lab, spans: Callable[[], list[ReadableSpan]]) -> None:
    """It was cancelled before an execution came; the sweeper finishes it."""
    lab.executions.down = True
    request_id = lab.submit(A)
    lab.post("/cancel", {"request_id": request_id})
    lab.change("UPDATE batches SET heartbeat_at = now() - interval '1 hour'")
    lab.sweep()

    assert lab.status(request_id)["status"] == "CANCELLED"
    assert spans() == []


@pytest.mark.feature("18")
def test_cancel_ends_what_is_open_and_keeps_what_is_done(lab: Lab) -> None:
    """202 at once; the batch is reported and ends as CANCELLED."""
    request_id = lab.submit(f"{A} {B} {C} {C}")
    execution = lab.start(request_id)
    payloads = lab.claim(request_id, execution, max_rows=1)
    lab.report(payloads[0])

    answer = lab.post("/cancel", {"request_id": request_id})
    late = lab.report(payloads[1])
    ending = lab.finish(request_id, execution)

    assert (answer.code, answer.json["cancelled_images"]) == (202, 3)
    assert late.json == {"applied": False, "image_status": "CANCELLED", "batch_status": "SEALING", "host_closed_s": 0.0}
    assert ending.json["status"] == "CANCELLED"
    assert ending.json["counts"] == {"total": 4, "pending": 0, "succeeded": 1, "failed": 3}
    assert lab.status(request_id)["products"][0]["status"] == "COMPLETED_WITH_ERRORS"


def test_cancel_may_be_repeated(lab: Lab) -> None:
    """Also after the batch has ended."""
    request_id = lab.submit(A)
    lab.post("/cancel", {"request_id": request_id})
    execution = lab.start(request_id)

    second = lab.post("/cancel", {"request_id": request_id})
    lab.finish(request_id, execution)
    third = lab.post("/cancel", {"request_id": request_id})

    assert (second.code, second.json["cancelled_images"]) == (202, 0)
    assert (third.code, third.json["status"]) == (202, "CANCELLED")


def test_a_batch_that_is_done_cannot_be_cancelled(lab: Lab) -> None:
    """400 BATCH_FINISHED rather than a promise that cannot be kept."""
    request_id = lab.submit(A)
    lab.finish_all(request_id)
    answer = lab.post("/cancel", {"request_id": request_id})
    assert (answer.code, answer.reason) == (400, "BATCH_FINISHED")


@pytest.mark.feature("18")
def test_nothing_is_claimed_after_a_cancellation(lab: Lab) -> None:
    """No new image starts."""
    request_id = lab.submit(A, B)
    execution = lab.start(request_id)
    lab.post("/cancel", {"request_id": request_id})
    assert lab.claim(request_id, execution) == []


def test_an_image_that_reports_trouble_while_being_cancelled_ends_as_cancelled(lab: Lab) -> None:
    """The cancellation skips the row that the report holds; the report sees the cancellation and gives up."""
    request_id = lab.submit(f"{A} {B}")
    payloads = lab.claim(request_id, lab.start(request_id))
    answers: list[Any] = []
    with lab.engine.begin() as connection:
        # Stands for a report that has locked its image: the cancellation must pass by it.
        connection.exec_driver_sql("SELECT 1 FROM images WHERE id = %s FOR UPDATE", (payloads[0]["image_id"],))
        settled = cancel_batch(lab.engine, UUID(request_id))
        reporter = threading.Thread(target=lambda: answers.append(lab.report(payloads[0], **TROUBLE)))
        reporter.start()
    reporter.join()

    assert (settled.images, settled.sealed) == (1, False)
    assert answers[0].json == {
        "applied": True,
        "image_status": "CANCELLED",
        "batch_status": "SEALING",
        "host_closed_s": 0.0,
    }


@pytest.mark.feature("17")
def test_retry_tries_only_what_failed_and_keeps_outputs(lab: Lab) -> None:
    """Finished images are not touched; attempt numbers go on rising; the run has a number."""
    request_id = lab.submit(f"{A} {B}")
    run(lab, request_id, {}, GONE)
    before = lab.rows("SELECT * FROM images WHERE status = 'SUCCEEDED'")

    answer = lab.post("/retry", {"request_id": request_id})
    execution = lab.start(request_id)
    [payload] = lab.claim(request_id, execution)
    lab.report(payload)
    ending = lab.finish(request_id, execution)

    assert (answer.code, answer.json["retried_images"], answer.json["generation"]) == (202, 1, 2)
    assert (payload["url"], payload["attempt"]) == (B, 2)
    assert (ending.json["status"], ending.json["generation"]) == ("COMPLETED", 2)
    assert lab.rows("SELECT * FROM images WHERE slot = 0") == before
    assert len(lab.tasks.bodies("/process")) == 2


def test_retry_brings_cancelled_images_back(lab: Lab) -> None:
    """A cancellation can be taken back once the batch has ended."""
    request_id = lab.submit(f"{A} {A}", B)
    execution = lab.start(request_id)
    lab.post("/cancel", {"request_id": request_id})
    lab.finish(request_id, execution)

    lab.post("/retry", {"request_id": request_id})
    lab.finish_all(request_id)

    assert lab.status(request_id)["counts"] == {"total": 3, "pending": 0, "succeeded": 3, "failed": 0}


def test_a_cancelled_duplicate_of_a_success_is_tried_on_its_own(lab: Lab) -> None:
    """Its first image will not report again, so it must not wait for it."""
    request_id = lab.submit(f"{A} {A} {B}")
    execution = lab.start(request_id)
    first, other = lab.claim(request_id, execution)
    lab.change("UPDATE images SET status = 'CANCELLED' WHERE same_as IS NOT NULL")
    lab.change("UPDATE batches SET pending = pending - 1, failed = failed + 1")
    lab.report(first)
    lab.report(other)
    lab.finish(request_id, execution)

    lab.post("/retry", {"request_id": request_id})
    lab.finish_all(request_id)

    assert lab.batch_row(request_id)["succeeded"] == 3


@pytest.mark.parametrize(("finished", "reason"), [(False, "BATCH_NOT_FINISHED"), (True, "NOTHING_TO_RETRY")])
def test_retry_is_refused_while_running_and_without_failures(lab: Lab, finished: bool, reason: str) -> None:
    """400 with the reason."""
    request_id = lab.submit(A)
    if finished:
        lab.finish_all(request_id)
    answer = lab.post("/retry", {"request_id": request_id})
    assert (answer.code, answer.reason) == (400, reason)


def test_a_batch_whose_report_failed_is_only_reported_again(make_lab: MakeLab) -> None:
    """Supervision failed, the images are fine: a retry seals at once."""
    lab = make_lab(INGEST_MAX_EXECUTION_FAILURES="1")
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    lab.report(lab.claim(request_id, execution)[0])
    lab.batch_call(request_id, "fail", execution=execution, step="report", error="x")

    answer = lab.post("/retry", {"request_id": request_id})

    assert (answer.json["retried_images"], lab.batch_row(request_id)["status"]) == (0, "SEALING")
    assert lab.finish(request_id, lab.start(request_id)).json["status"] == "COMPLETED"
