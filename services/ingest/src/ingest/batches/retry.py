"""Tries the failed and cancelled images of a finished batch again."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine

from chassis.auth.callers import SYSTEM, Caller
from chassis.db.engine import transact
from chassis.logs import get_logger
from ingest.batches.estimate import deadline_s
from ingest.batches.quotas import Use, confirm_quotas
from ingest.errors import Reason, failed_precondition
from ingest.settings import IngestSettings
from ingest.state.batch import Batch
from ingest.state.batch_status import reopen_batch
from ingest.state.images import ALL_IMAGES, ChosenImages, reopen_images
from ingest.state.imports import SHEET_STEP
from ingest.state.locks import lock_batch
from ingest.state.outbox import OutboxKind, add_entry

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retried:
    """A reopened batch, how many images are tried again, and its outbox entry."""

    batch: Batch
    reopened: int
    outbox_id: int | None


def retry_batch(
    engine: Engine,
    settings: IngestSettings,
    request_id: UUID,
    *,
    chosen: ChosenImages = ALL_IMAGES,
    caller: Caller = SYSTEM,
) -> Retried:
    """Bring the failed and cancelled images of a finished batch back, with a new budget; outputs stay as they are.

    Those that are not chosen stay as they are too. A batch that FAILED in supervision although all its images are fine
    is only reported again.

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
        unread = batch.error is not None and batch.error.get("step") == SHEET_STEP
        if batch.failed == 0 and (batch.error is None or unread):
            why = "has a sheet that was not read; upload it again" if unread else "has no failed images"
            raise failed_precondition(Reason.NOTHING_TO_RETRY, f"Batch {request_id} {why}.", request_id=str(request_id))
        reopened = reopen_images(connection, request_id, attempts=settings.max_attempts, chosen=chosen)
        if reopened == 0 and chosen != ALL_IMAGES:
            raise failed_precondition(
                Reason.NOTHING_TO_RETRY,
                f"Batch {request_id} has no failed image with these codes, hosts and ids.",
                request_id=str(request_id),
            )
        batch = reopen_batch(connection, request_id, reopened=reopened, deadline_s=deadline_s(settings, batch.estimate))
        outbox_id = add_entry(connection, OutboxKind.START, request_id, generation=batch.generation)
        confirm_quotas(connection, settings, batch.owner, Use(1, reopened, 0))
        log.info("batch.retried", request_id=str(request_id), generation=batch.generation, images=reopened)
        return Retried(batch, reopened, outbox_id)

    return transact(engine, work)
