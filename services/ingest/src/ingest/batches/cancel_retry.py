"""What a client may change about a running or finished batch: cancel it, or try its failed images again."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.auth.callers import SYSTEM, Caller
from chassis.db.engine import transact
from chassis.logs import get_logger
from ingest.batches.quotas import Use, confirm_quotas
from ingest.errors import Reason, failed_precondition
from ingest.events.outbox import OutboxKind, add_entry
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, BatchStatus, batch_from_row, lock_batch
from ingest.state.expiry import Settled, settle_overdue

log = get_logger(__name__)

_ASK_CANCEL = text("UPDATE batches SET cancel_requested = true WHERE request_id = :batch RETURNING *")
# A duplicate whose first image succeeded after it was cancelled has nothing to wait for: it stands for itself now.
_SEPARATE = text(
    """
    UPDATE images SET same_as = NULL FROM images AS first
    WHERE images.batch = :batch AND images.status IN ('FAILED', 'CANCELLED')
      AND first.id = images.same_as AND first.status = 'SUCCEEDED'
    """
)
_REOPEN_IMAGES = text(
    """
    UPDATE images SET status = 'PENDING', code = NULL, detail = NULL, finished_at = NULL, next_at = now(),
                      attempt_limit = attempt + :attempts
    WHERE batch = :batch AND status IN ('FAILED', 'CANCELLED')
    """
)
_REOPEN_BATCH = text(
    """
    UPDATE batches SET
        status = CASE WHEN pending + :reopened = 0 THEN 'SEALING' ELSE 'PENDING' END,
        sealed_at = CASE WHEN pending + :reopened = 0 THEN now() END,
        pending = pending + :reopened, failed = failed - :reopened, generation = generation + 1,
        cancel_requested = false, execution = NULL, callback_url = NULL, failures = 0, error = NULL,
        report_uri = NULL, finished_at = NULL, heartbeat_at = now(),
        deadline_at = now() + make_interval(secs => :deadline_s)
    WHERE request_id = :batch
    RETURNING *
    """
)


@dataclass(frozen=True, slots=True)
class Retried:
    """A reopened batch, how many images are tried again, and its outbox entry."""

    batch: Batch
    reopened: int
    outbox_id: int | None


def cancel_batch(engine: Engine, request_id: UUID, *, caller: Caller = SYSTEM) -> Settled:
    """End every open image as CANCELLED; results that exist stay. Repeating it is harmless.

    Images whose outcome is being written at this moment keep it if it is a success; if they are to be tried again,
    they end as cancelled instead.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 400 BATCH_FINISHED when nothing is left to cancel.
    """

    def work(connection: Connection) -> Settled:
        batch = lock_batch(connection, request_id, seen_by=caller)
        if batch.cancel_requested:
            return settle_overdue(connection, batch)
        if batch.status.is_final or batch.status is BatchStatus.SEALING:
            raise failed_precondition(
                Reason.BATCH_FINISHED,
                f"Batch {request_id} has no open images left; its status is {batch.status.public}.",
                request_id=str(request_id),
                status=batch.status.public,
            )
        batch = batch_from_row(connection.execute(_ASK_CANCEL, {"batch": request_id}).mappings().one())
        settled = settle_overdue(connection, batch)
        log.info("batch.cancelled", batch=str(request_id), images=settled.ended)
        return settled

    return transact(engine, work)


def retry_batch(engine: Engine, settings: IngestSettings, request_id: UUID, *, caller: Caller = SYSTEM) -> Retried:
    """Bring the failed and cancelled images of a finished batch back, with a new budget; outputs stay as they are.

    A batch that FAILED in supervision although all its images are fine is only reported again.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 400 BATCH_NOT_FINISHED, 400 NOTHING_TO_RETRY, 429 QUOTA_EXCEEDED.
    """

    def work(connection: Connection) -> Retried:
        batch = lock_batch(connection, request_id, seen_by=caller)
        if not batch.status.is_final:
            raise failed_precondition(
                Reason.BATCH_NOT_FINISHED,
                f"Batch {request_id} is {batch.status.public}; only a finished batch can be retried.",
                request_id=str(request_id),
                status=batch.status.public,
            )
        if batch.failed == 0 and batch.error is None:
            raise failed_precondition(
                Reason.NOTHING_TO_RETRY, f"Batch {request_id} has no failed images.", request_id=str(request_id)
            )
        connection.execute(_SEPARATE, {"batch": request_id})
        reopened = connection.execute(_REOPEN_IMAGES, {"batch": request_id, "attempts": settings.max_attempts}).rowcount
        values = {"batch": request_id, "reopened": reopened, "deadline_s": settings.batch_deadline_s}
        batch = batch_from_row(connection.execute(_REOPEN_BATCH, values).mappings().one())
        confirm_quotas(connection, settings, batch.owner, Use(1, reopened, 0))
        outbox_id = add_entry(connection, OutboxKind.START, request_id, generation=batch.generation)
        log.info("batch.retried", batch=str(request_id), generation=batch.generation, images=reopened)
        return Retried(batch, reopened, outbox_id)

    return transact(engine, work)
