"""The rows of deliveries and their attempts; every change is a compare-and-set on what the row says now.

Times are the service clock's, passed in, so that a test can walk the whole schedule. A delivery is *claimed* for one
attempt by a lease; whoever records the attempt first decides what follows, any other record of it changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from reporter.retry_policy import Answered, Delivered, GivenUp, Outcome, TryAgain, Unanswered, Verdict
from reporter.tables import attempts, deliveries

MAX_ANSWER_BYTES = 2048
"""How much of a receiver's answer is kept."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is to be delivered: its key, and the bytes."""

    request_id: UUID
    generation: int
    type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Hint:
    """A task to create: one attempt of one delivery; `resend` tells a repeated hint from the lost one."""

    delivery_id: UUID
    attempt: int
    resend: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery leased for one attempt."""

    delivery_id: UUID
    attempt: int
    url: str
    message_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """How a delivery stands: PENDING, DELIVERED or FAILED, and its finished attempts."""

    delivery_id: UUID
    state: str
    attempts: int


def add_deliveries(
    connection: Connection, event: Event, urls: Sequence[str], *, now: datetime, sweep_time: datetime
) -> list[Hint]:
    """Insert a delivery per URL unless it exists; return the hints for those that were never tried."""
    for url in urls:
        delivery_id = uuid4()
        row = {
            "id": delivery_id,
            "request_id": event.request_id,
            "generation": event.generation,
            "type": event.type,
            "url": url,
            "url_sha256": hashlib.sha256(url.encode()).hexdigest(),
            "message_id": f"msg_{delivery_id.hex}",
            "body": event.body,
            "state": "PENDING",
            "next_attempt_time": now,
            "sweep_time": sweep_time,
            "create_time": now,
        }
        connection.execute(insert(deliveries).values(row).on_conflict_do_nothing(constraint="deliveries_once"))
    untried = sa.select(deliveries.c.id).where(
        deliveries.c.request_id == event.request_id,
        deliveries.c.generation == event.generation,
        deliveries.c.type == event.type,
        deliveries.c.state == "PENDING",
        deliveries.c.attempts == 0,
        deliveries.c.lease_until.is_(None),
    )
    return [Hint(delivery_id, attempt=1) for delivery_id in connection.scalars(untried)]


def claim(
    connection: Connection, delivery_id: UUID, *, attempt: int, now: datetime, lease_until: datetime
) -> Claimed | None:
    """Lease the delivery for its next attempt; None when that attempt is done, under way, or not the next one."""
    columns = deliveries.c
    leased = connection.execute(
        sa.update(deliveries)
        .where(
            columns.id == delivery_id,
            columns.state == "PENDING",
            columns.attempts == attempt - 1,
            sa.or_(columns.lease_until.is_(None), columns.lease_until <= now),
        )
        .values(lease_until=lease_until, sweep_time=lease_until)
        .returning(columns.url, columns.message_id, columns.body)
    ).one_or_none()
    if leased is None:
        return None
    return Claimed(delivery_id, attempt, leased.url, leased.message_id, bytes(leased.body))


def record_attempt(
    connection: Connection,
    delivery_id: UUID,
    *,
    attempt: int,
    outcome: Outcome,
    verdict: Verdict,
    start_time: datetime,
    elapsed_ms: int,
    now: datetime,
    sweep_delay: timedelta,
    only_if_expired: bool = False,
) -> bool:
    """Write what an attempt brought and what follows; return False when it was recorded before.

    `sweep_delay` after the next attempt is due, the sweeper takes its task for lost. With `only_if_expired` nothing is
    written while somebody holds a lease: that worker will tell.
    """
    free = deliveries.c.lease_until <= now if only_if_expired else sa.true()
    match verdict:
        case TryAgain(at):
            following = {"state": "PENDING", "next_attempt_time": at, "sweep_time": at + sweep_delay}
        case Delivered():
            following = {"state": "DELIVERED", **_ended(now, None)}
        case GivenUp(reason):
            following = {"state": "FAILED", **_ended(now, reason)}
    updated = connection.execute(
        sa.update(deliveries)
        .where(
            deliveries.c.id == delivery_id,
            deliveries.c.state == "PENDING",
            deliveries.c.attempts == attempt - 1,
            free,
        )
        .values(attempts=attempt, lease_until=None, resends=0, **following)
    )
    if updated.rowcount == 0:
        return False
    connection.execute(
        sa.insert(attempts).values(
            delivery_id=delivery_id, number=attempt, start_time=start_time, elapsed_ms=elapsed_ms, **_facts(outcome)
        )
    )
    return True


def standing(connection: Connection, delivery_id: UUID) -> Standing | None:
    """Return how a delivery stands; None when there is none."""
    query = sa.select(deliveries.c.state, deliveries.c.attempts).where(deliveries.c.id == delivery_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else Standing(delivery_id, row.state, row.attempts)


def take_lost(connection: Connection, *, now: datetime, sweep_time: datetime, limit: int) -> list[Hint]:
    """Return hints for deliveries that are due and have shown no task; they are not looked at before `sweep_time`."""
    columns = deliveries.c
    lost = (
        sa.select(columns.id)
        .where(columns.state == "PENDING", columns.sweep_time <= now, columns.lease_until.is_(None))
        .order_by(columns.sweep_time)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = connection.execute(
        sa.update(deliveries)
        .where(columns.id.in_(lost.scalar_subquery()))
        .values(resends=columns.resends + 1, sweep_time=sweep_time)
        .returning(columns.id, columns.attempts, columns.resends)
    )
    return [Hint(row.id, attempt=row.attempts + 1, resend=row.resends) for row in taken]


def expired_leases(connection: Connection, *, now: datetime, limit: int) -> list[Hint]:
    """Return the attempts whose worker vanished: their lease ran out and nothing was recorded."""
    columns = deliveries.c
    rows = connection.execute(
        sa.select(columns.id, columns.attempts)
        .where(columns.state == "PENDING", columns.sweep_time <= now, columns.lease_until <= now)
        .order_by(columns.sweep_time)
        .limit(limit)
    )
    return [Hint(row.id, attempt=row.attempts + 1) for row in rows]


def _ended(now: datetime, reason: str | None) -> dict[str, Any]:
    return {"next_attempt_time": None, "sweep_time": None, "end_time": now, "end_reason": reason}


def _facts(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Answered(status_code, _, answer):
            return {"status_code": status_code, "answer": answer}
        case Unanswered(code):
            return {"failure": code}
