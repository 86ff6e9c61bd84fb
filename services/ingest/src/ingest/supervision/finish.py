"""The end of a batch: its final status, its message, and the announcement that nobody may lose."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.logs import get_logger
from chassis.times import rfc3339
from ingest.errors import Reason, failed_precondition, not_owner
from ingest.events.outbox import OutboxKind, add_entry
from ingest.failpoints import Failpoint
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, BatchStatus, batch_from_row, lock_batch

log = get_logger(__name__)

_FINISH = text(
    """
    UPDATE batches SET status = :status, finished_at = now(), report_uri = :report_uri, error = NULL
    WHERE request_id = :batch
    RETURNING *
    """
)


def final_status(batch: Batch) -> BatchStatus:
    """Return how a sealed batch ends."""
    if batch.cancel_requested:
        return BatchStatus.CANCELLED
    if batch.failed == 0:
        return BatchStatus.COMPLETED_WITH_ERRORS if batch.invalid_rows else BatchStatus.COMPLETED
    if batch.succeeded == 0:
        return BatchStatus.FAILED
    return BatchStatus.COMPLETED_WITH_ERRORS


def ending_message(batch: Batch) -> str:
    """Return the sentence for subscribers; "Compression done" is the first release's and never changes."""
    match batch.status:
        case BatchStatus.COMPLETED:
            return "Compression done"
        case BatchStatus.COMPLETED_WITH_ERRORS:
            skipped = f"; {batch.invalid_rows} bad rows were skipped" if batch.invalid_rows else ""
            return f"Compression done with errors: {batch.failed} of {batch.total} images failed{skipped}"
        case BatchStatus.CANCELLED:
            return f"Cancelled: {batch.succeeded} of {batch.total} images were compressed"
        case BatchStatus.FAILED if batch.error:
            return f"Failed in step {batch.error.get('step', 'unknown')} after {batch.failures} tries"
        case BatchStatus.FAILED:
            return f"Failed: none of {batch.total} images could be compressed"
        case _:
            return "Compression is running"


def ending_payload(batch: Batch) -> dict[str, Any]:
    """Return what finish and fail answer and what a notification needs."""
    return {
        "request_id": str(batch.request_id),
        "status": batch.status.value,
        "counts": batch.counts(),
        "message": ending_message(batch),
        "finished_at": rfc3339(batch.finished_at),
        "generation": batch.generation,
        "webhook_url": batch.webhook_url,
        "owner": batch.owner,
    }


def finish_batch(
    engine: Engine, settings: IngestSettings, request_id: UUID, *, execution: str | None, report_uri: str
) -> Batch:
    """Set the final status of a sealed batch; a repeat returns the same.

    The announcement is committed with it: when the workflow does not notify in time, the sweeper does.

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
        values = {"batch": request_id, "status": final_status(batch).value, "report_uri": report_uri}
        ended = batch_from_row(connection.execute(_FINISH, values).mappings().one())
        add_entry(
            connection,
            OutboxKind.NOTIFY,
            request_id,
            generation=ended.generation,
            payload=ending_payload(ended),
            delay_s=0 if execution is None else settings.notify_grace_s,
        )
        reach(Failpoint.FINISH_WRITTEN)
        log.info("batch.finished", batch=str(request_id), status=ended.status.value, **ended.counts())
        return ended

    return transact(engine, work)
