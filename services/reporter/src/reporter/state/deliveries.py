"""The rows of deliveries and their attempts; every change is a compare-and-set on what the row says now.

Times are the service clock's, passed in, so that a test can walk the whole schedule. A delivery is *claimed* for one
attempt by a lease; whoever records the attempt first decides what follows, any other record of it changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from chassis.limited import Limited
from reporter.state.endpoints import end_reason, ended_as, endpoint_of_delivery, live_secrets
from reporter.state.tables import attempts, deliveries, page_of
from reporter.webhooks.retry_policy import Answered, Delivered, GivenUp, Outcome, TryAgain, Unanswered, Verdict
from reporter.webhooks.secrets import SecretSeed

MAX_ANSWER_BYTES: Annotated[int, Limited("bytes", "the beginning of it", "How much of a receiver's answer is kept")] = (
    2048
)
"""How much of a receiver's answer is kept."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is to be delivered: its key, the bytes, and whose it is."""

    request_id: UUID
    generation: int
    type: str
    body: bytes
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where an event goes: an endpoint, or without `endpoint_id` the URL of a batch or of the deployment.

    `disabled` records the delivery as FAILED at once, so that it can be redelivered later.
    """

    url: str
    endpoint_id: UUID | None = None
    disabled: bool = False

    @property
    def digest(self) -> str:
        """Return what tells it from other targets of the same event."""
        key = self.url if self.endpoint_id is None else f"endpoint:{self.endpoint_id}"
        return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Hint:
    """A task to create: one attempt of one delivery; `resend` tells a repeated hint from the lost one."""

    delivery_id: UUID
    attempt: int
    resend: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery leased for one attempt.

    `earlier_attempts` were made before it was last redelivered. `seeds` are those of the endpoint's secrets; a delivery
    without `endpoint_id` is signed with the deployment's secret.
    """

    delivery_id: UUID
    attempt: int
    url: str
    message_id: str
    body: bytes
    earlier_attempts: int
    endpoint_id: UUID | None
    seeds: tuple[SecretSeed, ...]


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An attempt whose worker vanished."""

    hint: Hint
    earlier_attempts: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a delivery stands: PENDING, DELIVERED or FAILED, and its finished attempts."""

    delivery_id: UUID
    state: str
    attempts: int


def add_deliveries(
    connection: Connection, event: Event, targets: Sequence[Target], *, now: datetime, sweep_time: datetime
) -> list[Hint]:
    """Insert a delivery per target unless it exists; return the hints for those that were never tried."""
    for target in targets:
        delivery_id = uuid4()
        row = {
            "id": delivery_id,
            "request_id": event.request_id,
            "generation": event.generation,
            "type": event.type,
            "url": target.url,
            "url_sha256": target.digest,
            "endpoint_id": target.endpoint_id,
            "message_id": f"msg_{delivery_id.hex}",
            "body": event.body,
            "owner": event.owner,
            "create_time": now,
            **(
                ended_as("ENDPOINT_DISABLED", now=now)
                if target.disabled
                else {"state": "PENDING", "next_attempt_time": now, "sweep_time": sweep_time}
            ),
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
    """Lease the delivery for its next attempt; None when that attempt is done, under way, or not the next one.

    A delivery whose endpoint is disabled or deleted is ended instead.
    """
    columns = deliveries.c
    its_turn = (
        columns.id == delivery_id,
        columns.state == "PENDING",
        columns.attempts == attempt - 1,
        sa.or_(columns.lease_until.is_(None), columns.lease_until <= now),
    )
    endpoint = endpoint_of_delivery(connection, delivery_id)
    if endpoint is not None and endpoint.disabled_reason is not None:
        ended = ended_as(end_reason(endpoint.disabled_reason), now=now)
        connection.execute(sa.update(deliveries).where(*its_turn).values(ended))
        return None
    # The endpoint may have another URL by now.
    moved = {} if endpoint is None else {"url": endpoint.url}
    leased = connection.execute(
        sa.update(deliveries)
        .where(*its_turn)
        .values(lease_until=lease_until, sweep_time=lease_until, **moved)
        .returning(columns.url, columns.message_id, columns.body, columns.earlier_attempts)
    ).one_or_none()
    if leased is None:
        return None
    return Claimed(
        delivery_id=delivery_id,
        attempt=attempt,
        url=leased.url,
        message_id=leased.message_id,
        body=bytes(leased.body),
        earlier_attempts=leased.earlier_attempts,
        endpoint_id=None if endpoint is None else endpoint.id,
        seeds=() if endpoint is None else tuple(live_secrets(connection, endpoint.id, now=now)),
    )


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
            following = {"state": "DELIVERED", "end_time": now, "next_attempt_time": None, "sweep_time": None}
        case GivenUp(reason):
            following = ended_as(reason, now=now)
    updated = connection.execute(
        sa.update(deliveries)
        .where(
            deliveries.c.id == delivery_id,
            deliveries.c.state == "PENDING",
            deliveries.c.attempts == attempt - 1,
            free,
        )
        .values({"attempts": attempt, "resends": 0, **following, "lease_until": None})
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
    )
    taken = connection.execute(
        sa.update(deliveries)
        .where(columns.id.in_(page_of(lost, limit=limit)))
        .values(resends=columns.resends + 1, sweep_time=sweep_time)
        .returning(columns.id, columns.attempts, columns.resends)
    )
    return [Hint(row.id, attempt=row.attempts + 1, resend=row.resends) for row in taken]


def expired_leases(connection: Connection, *, now: datetime, limit: int) -> list[Abandoned]:
    """Return the attempts whose worker vanished: their lease ran out and nothing was recorded."""
    columns = deliveries.c
    rows = connection.execute(
        sa.select(columns.id, columns.attempts, columns.earlier_attempts)
        .where(columns.state == "PENDING", columns.sweep_time <= now, columns.lease_until <= now)
        .order_by(columns.sweep_time)
        .limit(limit)
    )
    return [Abandoned(Hint(row.id, attempt=row.attempts + 1), row.earlier_attempts) for row in rows]


def _facts(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Answered(status_code, _, answer):
            return {"status_code": status_code, "answer": answer}
        case Unanswered(code):
            return {"failure": code}
