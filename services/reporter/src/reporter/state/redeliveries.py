"""Deliveries that are made due again: the same row, message id and bytes, with the whole schedule before them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from reporter.state.deliveries import DeliveryState, Hint, next_hint

# A task may have been created under the name that belongs to the present number of resends.
_DUE_AGAIN = """
    state = 'PENDING', end_reason = NULL, end_time = NULL, lease_until = NULL, next_attempt_time = now(),
    earlier_attempts = attempts, resends = resends + 1
"""
_REDELIVER = text(
    f"""
    UPDATE deliveries SET {_DUE_AGAIN}, sweep_time = now() + make_interval(secs => :hint_grace_s)
    WHERE id = :id AND (lease_until IS NULL OR lease_until <= now())
    RETURNING attempts, resends
    """
)
_REDELIVER_SINCE = text(
    f"""
    UPDATE deliveries SET {_DUE_AGAIN}, sweep_time = now()
    WHERE endpoint_id = :endpoint_id AND state = ANY(:states) AND create_time >= :since
    RETURNING id, attempts, resends, create_time
    """
)
_POSTPONE_SWEEP = text(
    "UPDATE deliveries SET sweep_time = now() + make_interval(secs => :hint_grace_s) WHERE id = ANY(:ids)"
)


def redeliver(connection: Connection, delivery_id: UUID, *, hint_grace_s: float) -> Hint | None:
    """Make a delivery due now with the whole schedule before it; None when an attempt of it is under way.

    PENDING, DELIVERED or FAILED → PENDING; the caller holds the lock of its endpoint, and the delivery is locked.
    """
    values = {"id": delivery_id, "hint_grace_s": hint_grace_s}
    row = connection.execute(_REDELIVER, values).mappings().first()
    return None if row is None else next_hint({**row, "id": delivery_id})


def redeliver_since(
    connection: Connection,
    endpoint_id: UUID,
    *,
    since: datetime,
    states: Iterable[DeliveryState],
    hint_limit: int,
    hint_grace_s: float,
) -> tuple[int, list[Hint]]:
    """Make an endpoint's ended deliveries due now; return their number, and hints for the oldest `hint_limit`.

    DELIVERED or FAILED → PENDING; the caller holds the endpoint's lock, and the deliveries are locked after it. The
    sweeper may hint those that get no hint here at once.

    Args:
        connection: an open transaction.
        endpoint_id: the endpoint.
        since: only events recorded at this time or later.
        states: DELIVERED, FAILED, or both.
        hint_limit: most hints to return.
        hint_grace_s: seconds after which the sweeper takes the tasks of these hints for lost.
    """
    values = {"endpoint_id": endpoint_id, "since": since, "states": [state.value for state in states]}
    rows = connection.execute(_REDELIVER_SINCE, values).mappings().all()
    hinted = sorted(rows, key=lambda row: (row["create_time"], row["id"]))[:hint_limit]
    connection.execute(_POSTPONE_SWEEP, {"ids": [row["id"] for row in hinted], "hint_grace_s": hint_grace_s})
    return len(rows), [next_hint(row) for row in hinted]
