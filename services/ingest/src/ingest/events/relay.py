"""Tells subscribers that a batch was taken in and that it began; its end is told in `ending`.

The entry is committed with the change that it announces, so nothing is announced that did not happen and nothing that
happened stays untold. It is sent when the next of our own callers comes by, else by the sweeper; the reporter records
one delivery per event and endpoint, however often it is told.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, Engine

from chassis.logs import get_logger
from ingest.clients.reporter import Reporter
from ingest.errors import ApiError
from ingest.events.outbox import OutboxEntry, OutboxKind, add_entry, lease_entries, remove_entry
from ingest.state.batch import Batch, BatchStatus
from ingest.supervision.finish import ending_payload

log = get_logger(__name__)

ANNOUNCEMENTS = (OutboxKind.ACCEPTED, OutboxKind.STARTED)
"""The kinds of entries that are sent from here, in the order in which they happen."""


def announce_accepted(connection: Connection, batch: Batch) -> None:
    """Add `batch.accepted` to the transaction that stores the batch; a retry is no second acceptance."""
    message = f"Accepted: {batch.total} images in {batch.row_count} rows"
    _add(connection, OutboxKind.ACCEPTED, batch, status=BatchStatus.PENDING, message=message)


def announce_started(connection: Connection, before: Batch, after: Batch) -> None:
    """Add `batch.started` if this transaction brought the locked batch from PENDING to PROCESSING.

    A retry starts a new generation, and so is told of again.
    """
    if before.status is BatchStatus.PENDING and after.status is BatchStatus.PROCESSING:
        message = f"Started: {after.pending} images are to be compressed"
        _add(connection, OutboxKind.STARTED, after, status=BatchStatus.PROCESSING, message=message)


def relay_announcements_now(engine: Engine, reporter: Reporter, request_id: UUID) -> None:
    """Send what is to be told of a batch, if the reporter can be had; if not, the sweeper will. Trouble is logged."""
    entries = lease_entries(engine, limit=len(ANNOUNCEMENTS), kinds=ANNOUNCEMENTS, batch=request_id)
    for entry in entries:
        try:
            relay_announcement(engine, reporter, entry)
        except ApiError as error:
            log.warning("outbox.postponed", outbox_id=entry.id, reason=error.reason)
            return


def relay_announcement(engine: Engine, reporter: Reporter, entry: OutboxEntry) -> None:
    """Tell the reporter and forget the entry.

    Raises:
        ApiError: what the reporter answered, or 503; the entry comes back later.
    """
    reporter.notify(entry.payload, None)
    remove_entry(engine, entry.id)


def _add(connection: Connection, kind: OutboxKind, batch: Batch, *, status: BatchStatus, message: str) -> None:
    payload = ending_payload(batch) | {"status": status.value, "message": message}
    add_entry(connection, kind, batch.request_id, generation=batch.generation, payload=payload)
