"""The end of a batch: its final status, and the event that tells it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, Engine

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.logs import get_logger
from chassis.tracing import record_past_span
from ingest.errors import Reason, failed_precondition, not_owner
from ingest.events.payload import add_ended_event
from ingest.failpoints import Failpoint
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, BatchStatus
from ingest.state.batch_status import end_batch
from ingest.state.imports import SHEET_STEP
from ingest.state.locks import lock_batch

log = get_logger(__name__)


def final_status(batch: Batch) -> BatchStatus:
    """Return how a sealed batch ends."""
    if batch.cancel_requested:
        return BatchStatus.CANCELLED
    if batch.error is not None and batch.error.get("step") == SHEET_STEP:
        return BatchStatus.FAILED
    if batch.failed == 0:
        return BatchStatus.COMPLETED_WITH_ERRORS if batch.invalid_rows else BatchStatus.COMPLETED
    if batch.succeeded == 0:
        return BatchStatus.FAILED
    return BatchStatus.COMPLETED_WITH_ERRORS


def finish_batch(
    engine: Engine, settings: IngestSettings, request_id: UUID, *, execution: str | None, report_uri: str
) -> Batch:
    """Set the final status of a sealed batch; a repeat returns the same.

    The event is committed with it: when the workflow does not notify in time, the sweeper does.

    Args:
        engine: the database.
        settings: the grace before the sweeper notifies.
        request_id: the batch.
        execution: the caller, who must own the batch; None is the sweeper.
        report_uri: where the reporter wrote the output CSV, `gs://...`.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER, 400 BATCH_OPEN.
    """

    def work(connection: Connection) -> Batch:
        batch = lock_batch(connection, request_id)
        if execution is not None and batch.execution != execution:
            raise not_owner(request_id, execution)
        if batch.status.is_final:
            return batch
        if batch.status is not BatchStatus.SEALING:
            raise failed_precondition(
                Reason.BATCH_OPEN, f"Batch {request_id} has {batch.pending} open images.", request_id=str(request_id)
            )
        ended = end_batch(connection, request_id, final_status(batch), report_uri=report_uri)
        add_ended_event(connection, ended, grace_s=0 if execution is None else settings.notify_grace_s)
        reach(Failpoint.FINISH_WRITTEN)
        log.info("batch.finished", request_id=str(request_id), status=ended.status.value, **ended.counts())
        return ended

    batch = transact(engine, work)
    record_run(batch)
    return batch


def record_run(batch: Batch) -> None:
    """Record the span that all executions of a batch make together, once it has ended for the first time."""
    if batch.generation == 1 and batch.started_at is not None and batch.finished_at is not None:
        record_past_span(
            "workflow",
            batch.request_id,
            under="upload",
            began=batch.started_at,
            ended=batch.finished_at,
            status=batch.status.value,
            **batch.counts(),
        )
