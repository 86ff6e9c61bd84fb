"""How endpoints take their events: the first failure after the last success, and what follows from too many."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from reporter.state.endpoints import DisabledReason, disable_endpoint

_NOTE_SUCCESS = text("UPDATE webhook_endpoints SET failing_since = NULL WHERE id = :id AND failing_since IS NOT NULL")
_NOTE_FAILURE = text(
    """
    UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, :started_at)
    WHERE id = :id AND disabled_reason IS NULL
    RETURNING failing_since <= now() - make_interval(secs => :patience_s) AS too_long
    """
)


def note_success(connection: Connection, endpoint_id: UUID) -> None:
    """Enabled → enabled, its failures forgotten, because it took an event; the caller holds the endpoint's lock."""
    connection.execute(_NOTE_SUCCESS, {"id": endpoint_id})


def note_failure(
    connection: Connection, endpoint_id: UUID, *, gone: bool, started_at: datetime, patience_s: float
) -> DisabledReason | None:
    """Note a failed attempt; enabled → disabled when the endpoint is gone or has failed for `patience_s`.

    The caller holds the endpoint's lock. Returns why the endpoint was disabled now, None when it was not.
    """
    values = {"id": endpoint_id, "started_at": started_at, "patience_s": patience_s}
    noted = connection.execute(_NOTE_FAILURE, values).mappings().first()
    if noted is None or not (gone or noted["too_long"]):
        return None
    reason = DisabledReason.GONE if gone else DisabledReason.FAILING
    disable_endpoint(connection, endpoint_id, reason)
    return reason
