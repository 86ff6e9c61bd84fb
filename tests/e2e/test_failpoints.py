"""A service is killed between every two effects of a batch's life; what comes out is what an undisturbed run gives.

One stack, one sheet. Before each case the stored images are deleted, so that every case really stores them. The case's
failpoint kills the worker process that reaches it; gunicorn starts another, Cloud Tasks, the workflow and the sweeper
repeat what was lost. Then sheet, objects, counters, attempts, deliveries and the subscriber's messages are compared.
"""

from __future__ import annotations

from enum import StrEnum

import pytest

from compressor.failpoints import Failpoint as CompressorFailpoint
from ingest.failpoints import Failpoint as IngestFailpoint
from reporter.failpoints import Failpoint as ReporterFailpoint
from support.killed_stack import DECLARED, IMAGES, Bench, Result, check

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ELSEWHERE = {ReporterFailpoint.REPORT_PIECE_STORED}
"""Only a report of megabytes comes by; tests/unit/reporter/reports/test_streamed_report.py kills the reporter there."""

CASES = [
    pytest.param(failpoint, id=failpoint.value)
    for table in DECLARED.values()
    for failpoint in table
    if failpoint not in ELSEWHERE
]
"""Every failpoint there is, so that none can be forgotten."""

AT_TIME = {
    CompressorFailpoint.IMAGE_STORED: 2,
    IngestFailpoint.OUTCOME_COMMITTED: IMAGES + 1,  # the last one, which seals
    ReporterFailpoint.REPORT_OBJECT_STORED: 2,
}
"""Places that are met several times in a run, and when it is interesting."""

WITHOUT_WORKFLOWS = {IngestFailpoint.SWEEP_TASK_CREATED, IngestFailpoint.SWEEP_PUBLISHED}
"""Places that only the sweeper comes by when no execution can be had."""

IMPORTING = {
    IngestFailpoint.IMPORT_CHECKED,
    IngestFailpoint.IMPORT_CHUNK_WRITTEN,
    IngestFailpoint.IMPORT_CHUNK_COMMITTED,
    IngestFailpoint.IMPORT_COMPLETED,
}
"""Places that only a large sheet comes by."""

LEASED = {
    IngestFailpoint.START_TASK_CREATED,
    IngestFailpoint.SWEEP_NOTIFIED,
    ReporterFailpoint.DELIVERY_LEASED,
    ReporterFailpoint.DELIVERY_SENT,
}
"""Places after which an outbox entry or a delivery stays leased for a minute: the lease is ended instead of waiting."""

STEPS = {
    "start": "POST /internal/batches/{id}/start",
    "claim": "POST /internal/batches/{id}/claim",
    "dispatch": "POST /compress",
    "report": "POST /internal/reports",
    "finish": "POST /internal/batches/{id}/finish",
    "notify": "POST /internal/notifications",
}
"""The workflow's calls that have an effect, and the routes that they reach."""


@pytest.mark.feature("14", "19")
@pytest.mark.fault("A1", "H9")
@pytest.mark.threat("T17")
@pytest.mark.parametrize("failpoint", CASES)
def test_death_between_two_effects_changes_nothing(failpoint: StrEnum, bench: Bench, undisturbed: Result) -> None:
    """The process dies there, once; sheet, objects, counters and messages are those of an undisturbed run."""
    bench.load(failpoint, AT_TIME.get(failpoint, 1))
    if failpoint in WITHOUT_WORKFLOWS:
        bench.forbid_executions()

    request_id, result = bench.run(
        leased=failpoint in LEASED, stored=failpoint in IMPORTING, is_over=lambda: not bench.is_loaded()
    )
    bench.calm()

    assert not bench.is_loaded(), "the failpoint was never reached"
    check(bench, request_id, result, undisturbed)


SHARED = [
    IngestFailpoint.PAGE_CLAIMED,
    CompressorFailpoint.IMAGE_STORED,
    IngestFailpoint.OUTCOME_WRITTEN,
    IngestFailpoint.OUTCOME_COMMITTED,
    CompressorFailpoint.OUTCOME_REPORTED,
]
"""Places between the effects of a task that carries several images."""


@pytest.mark.feature("22", "19")
@pytest.mark.fault("A1")
@pytest.mark.parametrize("failpoint", SHARED)
def test_death_within_a_task_of_several_images_changes_nothing(
    failpoint: StrEnum, bench: Bench, known_again: Result
) -> None:
    """One task asks for what an earlier batch found; where it dies, its images come again or have ended."""
    bench.load(failpoint, 1)

    request_id, result = bench.run(known=True, is_over=lambda: not bench.is_loaded())
    bench.calm()

    assert not bench.is_loaded(), "the failpoint was never reached"
    check(bench, request_id, result, known_again)


@pytest.fixture(name="known_again", scope="module")
def _known_again(bench: Bench, undisturbed: Result) -> Result:
    """Return the result of an undisturbed second run of two tasks: for the missing image, and for all others."""
    bench.run()
    tasks: list[str] = []
    bench.taps["compressor"].before_answer = tasks.append
    result = bench.run(known=True)[1]
    bench.calm()
    assert tasks == ["POST /compress"] * 2
    assert (result.status, result.counts, result.objects) == (
        undisturbed.status,
        undisturbed.counts,
        undisturbed.objects,
    )
    return result


@pytest.mark.feature("19")
@pytest.mark.fault("A13")
@pytest.mark.threat("T17")
@pytest.mark.parametrize("step", STEPS)
def test_death_of_the_engine_at_a_step_changes_nothing(step: str, bench: Bench, undisturbed: Result) -> None:
    """Executions, callbacks and tasks are gone after the step took effect; the rows bring everything back."""
    kills = bench.kill_platform_at(STEPS[step])

    request_id, result = bench.run(is_over=lambda: bool(kills))
    bench.stack.wait_healthy("localcloud", 30)
    bench.calm()

    assert kills == [STEPS[step]]
    check(bench, request_id, result, undisturbed)
