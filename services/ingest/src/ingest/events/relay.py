"""Sends the events `accepted` and `started` of a batch to the reporter; the event of its end is sent by the sweeper.

An entry is sent when the next of our own callers comes by, else by the sweeper. The reporter records one delivery per
event and endpoint, however often it is told.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Engine

from chassis.logs import get_logger
from ingest.clients.reporter import Reporter
from ingest.errors import ApiError
from ingest.state.outbox import OutboxEntry, OutboxKind, lease_entries, remove_entry

log = get_logger(__name__)

_EARLY_EVENTS = (OutboxKind.ACCEPTED, OutboxKind.STARTED)  # in the order in which they happen


def relay_events_now(engine: Engine, reporter: Reporter, request_id: UUID) -> None:
    """Send what is to be told of a batch, if the reporter can be had; if not, the sweeper will. Trouble is logged."""
    entries = lease_entries(engine, limit=len(_EARLY_EVENTS), kinds=_EARLY_EVENTS, batch=request_id)
    for entry in entries:
        try:
            relay_event(engine, reporter, entry)
        except ApiError as error:
            log.warning("outbox.postponed", outbox_id=entry.id, reason=error.reason)
            return


def relay_event(engine: Engine, reporter: Reporter, entry: OutboxEntry) -> None:
    """Tell the reporter and delete the entry.

    Raises:
        ApiError: what the reporter answered, or 503; the entry comes back later.
    """
    reporter.notify(entry.payload, None)
    remove_entry(engine, entry.id)
