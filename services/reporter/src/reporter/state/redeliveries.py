"""Deliveries that are made due again: the same row, message id and bytes, with the whole schedule before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from reporter.state.deliveries import Hint
from reporter.state.tables import deliveries


@dataclass(frozen=True, slots=True)
class Redelivered:
    """How many deliveries are due again, and the hints to give now; of the others the sweeper gives them."""

    count: int
    hints: Sequence[Hint]


def redeliver_one(connection: Connection, delivery_id: UUID, *, now: datetime, sweep_time: datetime) -> Hint | None:
    """Make a delivery due now, in whatever state it is; None when an attempt of it is under way."""
    columns = deliveries.c
    row = connection.execute(
        sa.update(deliveries)
        .where(columns.id == delivery_id, sa.or_(columns.lease_until.is_(None), columns.lease_until <= now))
        .values(_due(now, sweep_time))
        .returning(columns.id, columns.attempts, columns.resends)
    ).one_or_none()
    return None if row is None else Hint(row.id, attempt=row.attempts + 1, resend=row.resends)


def redeliver_since(
    connection: Connection,
    endpoint_id: UUID,
    *,
    since: datetime,
    states: Sequence[str],
    now: datetime,
    sweep_time: datetime,
    hint_limit: int,
) -> Redelivered:
    """Make an endpoint's ended deliveries of events since a time due now, oldest first.

    Args:
        connection: an open transaction.
        endpoint_id: the endpoint.
        since: events recorded at this time or later.
        states: FAILED, DELIVERED, or both.
        now: when they are due.
        sweep_time: when the sweeper may take the tasks of those that are hinted now for lost.
        hint_limit: most hints to return; the other deliveries are open to the sweeper at once.
    """
    columns = deliveries.c
    rows = connection.execute(
        sa.update(deliveries)
        .where(columns.endpoint_id == endpoint_id, columns.create_time >= since, columns.state.in_(states))
        .values(_due(now, now))
        .returning(columns.id, columns.attempts, columns.resends, columns.create_time)
    ).all()
    hinted = sorted(rows, key=lambda row: (row.create_time, row.id))[:hint_limit]
    connection.execute(
        sa.update(deliveries).where(columns.id.in_([row.id for row in hinted])).values(sweep_time=sweep_time)
    )
    return Redelivered(len(rows), [Hint(row.id, attempt=row.attempts + 1, resend=row.resends) for row in hinted])


def _due(now: datetime, sweep_time: datetime) -> dict[str, Any]:
    return {
        "state": "PENDING",
        "end_reason": None,
        "end_time": None,
        "lease_until": None,
        "next_attempt_time": now,
        "sweep_time": sweep_time,
        "earlier_attempts": deliveries.c.attempts,
        # A task of this name may have been there before.
        "resends": deliveries.c.resends + 1,
    }
