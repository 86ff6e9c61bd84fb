"""Cancels a batch: its open images end, its results stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from sqlalchemy import Connection, Engine

from chassis.auth.callers import SYSTEM, Caller
from chassis.db.engine import transact
from chassis.limited import Limited
from chassis.logs import get_logger
from ingest.errors import Reason, failed_precondition
from ingest.state.batch import BatchStatus
from ingest.state.batch_status import Ended, ask_cancel
from ingest.state.expiry import end_overdue
from ingest.state.locks import lock_batch

log = get_logger(__name__)

MAX_CANCEL_PAGES: Annotated[
    int,
    Limited(
        "pages", "the workflow and the sweeper end the rest", "Pages of images that a cancellation ends", internal=True
    ),
] = 20
"""100,000 rows: some seconds."""


def cancel_batch(engine: Engine, request_id: UUID, *, caller: Caller = SYSTEM) -> Ended:
    """End every open image as CANCELLED; results that exist stay. Repeating it is harmless.

    Images whose outcome is being written at this moment keep it if it is a success; if they are to be tried again,
    they end as cancelled instead.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 400 BATCH_FINISHED when nothing is left to cancel.
    """

    def begin(connection: Connection) -> Ended:
        batch = lock_batch(connection, request_id, seen_by=caller)
        if batch.cancel_requested:
            return end_overdue(connection, batch)
        if batch.status.is_final or batch.status is BatchStatus.SEALING:
            raise failed_precondition(
                Reason.BATCH_FINISHED,
                f"Batch {request_id} has no open images left; its status is {batch.status.public}.",
                request_id=str(request_id),
                status=batch.status.public,
            )
        ended = end_overdue(connection, ask_cancel(connection, request_id))
        log.info("batch.cancelled", request_id=str(request_id), images=ended.images)
        return ended

    ended = transact(engine, begin)
    images = ended.images
    for _page in range(MAX_CANCEL_PAGES):
        if not ended.more:
            break
        ended = transact(engine, lambda connection: end_overdue(connection, lock_batch(connection, request_id)))
        images += ended.images
    # What is left of a very large batch is ended by its execution and the sweeper.
    return replace(ended, images=images)
