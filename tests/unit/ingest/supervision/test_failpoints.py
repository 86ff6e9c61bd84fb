"""Where ingest can be made to die: between exactly these two effects, each of which a restart makes up for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from chassis.failpoints import FailpointError, arm
from ingest.dispatch.outcome import record_outcome
from ingest.failpoints import Failpoint
from ingest.http.internal_schemas import OutcomeRequest
from ingest.state.outbox import OutboxKind, lease_entries
from ingest.supervision.finish import finish_batch
from ingest.supervision.start import process_batch, relay_start
from ingest.supervision.sweep import Sweep
from ingest.supervision.without_workflow import supervise
from support.ingest_service import Lab

A = "https://a.example/1.jpg"
DUE = "UPDATE outbox SET next_at = now()"
Die = Callable[[Failpoint, Callable[[], object]], None]


@pytest.fixture(name="die")
def _die(tmp_path: Path) -> Iterator[Die]:
    """Give a way to do something that dies when it first reaches a point."""

    def die(point: Failpoint, work: Callable[[], object]) -> None:
        (tmp_path / f"{point}.1").touch()
        arm([f"{point}:raise"], str(tmp_path), known=list(Failpoint))
        with pytest.raises(FailpointError):
            work()
        arm((), "", known=())

    yield die
    arm((), "", known=())


def statuses(lab: Lab) -> tuple[str, set[str]]:
    """Return the status of the one batch, and those of its images."""
    [batch] = lab.rows("SELECT status FROM batches")
    return batch["status"], {row["status"] for row in lab.rows("SELECT status FROM images")}


@pytest.mark.parametrize(
    ("point", "is_kept"), [(Failpoint.START_TASK_CREATED, True), (Failpoint.START_ENTRY_REMOVED, False)]
)
def test_the_task_of_a_start_is_there_before_its_entry_goes(
    lab: Lab, die: Die, point: Failpoint, is_kept: bool
) -> None:
    lab.tasks.down = True
    request_id = lab.submit(A)
    lab.tasks.down = False
    lab.change(DUE)
    [entry] = lease_entries(lab.engine, limit=1, kinds=[OutboxKind.START])

    die(point, lambda: relay_start(lab.engine, lab.tasks, lab.settings, entry))

    assert lab.tasks.bodies("/process") == [{"request_id": request_id}]
    assert bool(lab.rows("SELECT 1 FROM outbox WHERE kind = 'start'")) is is_kept


@pytest.mark.parametrize(
    ("point", "is_recorded"), [(Failpoint.EXECUTION_CREATED, False), (Failpoint.EXECUTION_RECORDED, True)]
)
def test_an_execution_runs_before_its_batch_knows_of_it(
    lab: Lab, die: Die, point: Failpoint, is_recorded: bool
) -> None:
    request_id = lab.submit(A)

    die(point, lambda: process_batch(lab.engine, lab.executions, UUID(request_id)))

    [(_batch, execution)] = lab.executions.created
    assert lab.batch_row(request_id)["execution"] == (execution if is_recorded else None)


@pytest.mark.parametrize("code", ["OK", "HTTP_404"])
def test_an_outcome_that_is_written_is_not_committed(lab: Lab, die: Die, code: str) -> None:
    """Whatever it says."""
    request_id = lab.submit(A)
    [payload] = lab.claim(request_id, lab.start(request_id))
    body = lab.outcome_of(payload, outcome="SUCCEEDED" if code == "OK" else "FAILED", code=code)
    outcome = OutcomeRequest.model_validate(body).to_outcome()

    die(
        Failpoint.OUTCOME_WRITTEN,
        lambda: record_outcome(lab.engine, lab.settings, UUID(payload["image_id"]), outcome),
    )

    assert statuses(lab) == ("PROCESSING", {"DISPATCHED"})
    assert lab.report(payload).json["applied"] is True


def test_an_end_that_is_written_is_not_committed(lab: Lab, die: Die) -> None:
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    lab.report(lab.claim(request_id, execution)[0])

    die(
        Failpoint.FINISH_WRITTEN,
        lambda: finish_batch(lab.engine, lab.settings, UUID(request_id), execution=execution, report_uri="gs://b/o"),
    )

    assert statuses(lab) == ("SEALING", {"SUCCEEDED"})
    assert lab.rows("SELECT 1 FROM outbox WHERE kind = 'notify'") == []
    assert lab.finish(request_id, execution).json["status"] == "COMPLETED"


def test_the_sweeper_leases_an_image_before_its_task_is_there(lab: Lab, die: Die) -> None:
    request_id = lab.submit(A)

    die(Failpoint.SWEEP_TASK_CREATED, lambda: supervise(lab.dependencies, UUID(request_id)))

    assert statuses(lab) == ("PROCESSING", {"DISPATCHED"})
    assert len(lab.tasks.bodies("/compress")) == 1


def test_the_sweepers_report_is_there_before_the_batch_ends(lab: Lab, die: Die) -> None:
    request_id = lab.submit(A)
    lab.report(lab.claim(request_id, lab.start(request_id))[0])

    die(Failpoint.SWEEP_PUBLISHED, lambda: supervise(lab.dependencies, UUID(request_id)))

    assert (statuses(lab)[0], lab.reporter.published) == ("SEALING", [UUID(request_id)])


def test_the_reporter_is_told_of_an_end_before_its_entry_goes(lab: Lab, die: Die) -> None:
    """It may be told twice, and never not at all."""
    request_id = lab.submit(A)
    lab.finish_all(request_id)
    lab.change("DELETE FROM outbox WHERE kind <> 'notify'")
    lab.change(DUE)
    lab.reporter.notified.clear()

    die(Failpoint.SWEEP_NOTIFIED, lambda: Sweep(lab.dependencies).run())

    assert [notice["status"] for notice in lab.reporter.notified] == ["COMPLETED"]
    assert len(lab.rows("SELECT 1 FROM outbox WHERE kind = 'notify'")) == 1
