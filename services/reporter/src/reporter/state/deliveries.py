"""The table `deliveries`: one event for one target, tried until it is taken or given up.

`PENDING → DELIVERED | FAILED`; a redelivery leads from any of them to PENDING. A PENDING delivery is leased for each
attempt; its attempts are in `attempts.py`, which ends the lease. Every statement changes a row only if it is still as
the caller believes, so a repetition changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, text


class DeliveryState(StrEnum):
    """PENDING until it is over: DELIVERED (the receiver took it) or FAILED (given up)."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class EndReason(StrEnum):
    """Why a delivery FAILED."""

    EXHAUSTED = "EXHAUSTED"
    """The last attempt of the schedule failed."""
    GONE = "GONE"
    """The receiver answered 410."""
    URL_INVALID = "URL_INVALID"
    """The URL can never be called."""
    ENDPOINT_DISABLED = "ENDPOINT_DISABLED"
    ENDPOINT_DELETED = "ENDPOINT_DELETED"


@dataclass(frozen=True, slots=True)
class Event:
    """What is delivered: its key, the bytes, and whose it is."""

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
class Lease:
    """A delivery leased for one attempt that began at `started_at`; `earlier_attempts` precede its last redelivery."""

    delivery_id: UUID
    attempt: int
    url: str
    message_id: str
    body: bytes
    earlier_attempts: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How a delivery stands, and how many attempts of it are finished."""

    delivery_id: UUID
    state: DeliveryState
    attempts: int


_ADD = """
    INSERT INTO deliveries (id, request_id, generation, type, url, url_sha256, endpoint_id, message_id, body, owner,
                            state, end_reason, next_attempt_time, sweep_time, end_time, create_time)
    VALUES (:id, :request_id, :generation, :type, :url, :url_sha256, :endpoint_id, :message_id, :body, :owner,
            {ended}, now())
    ON CONFLICT ON CONSTRAINT deliveries_once DO NOTHING
"""
_ADD_PENDING = text(_ADD.format(ended="'PENDING', NULL, now(), now() + make_interval(secs => :hint_grace_s), NULL"))
_ADD_FAILED = text(_ADD.format(ended="'FAILED', 'ENDPOINT_DISABLED', NULL, NULL, now()"))
_UNTRIED = text(
    """
    SELECT id FROM deliveries
    WHERE request_id = :request_id AND generation = :generation AND type = :type
      AND state = 'PENDING' AND attempts = 0 AND lease_until IS NULL
    """
)
_IS_NEXT = """
    id = :id AND state = 'PENDING' AND attempts = :attempt - 1 AND (lease_until IS NULL OR lease_until <= now())
"""
# The endpoint may have another URL than when the delivery was added.
_LEASE = text(
    f"""
    UPDATE deliveries SET
        lease_until = now() + make_interval(secs => :lease_s),
        sweep_time = now() + make_interval(secs => :lease_s),
        url = coalesce(CAST(:url AS text), url)
    WHERE {_IS_NEXT}
    RETURNING url, message_id, body, earlier_attempts, now() AS started_at
    """
)
_FAILED = """
    state = 'FAILED', end_reason = :end_reason, end_time = now(), lease_until = NULL, next_attempt_time = NULL,
    sweep_time = NULL
"""
_END_NEXT = text(f"UPDATE deliveries SET {_FAILED} WHERE {_IS_NEXT}")
# What a worker is sending at this moment is left to it: it will find the endpoint disabled when it records.
_END_WAITING = text(
    f"""
    UPDATE deliveries SET {_FAILED}
    WHERE endpoint_id = :endpoint_id AND state = 'PENDING' AND (lease_until IS NULL OR lease_until <= now())
    """
)
_STANDING = text("SELECT state, attempts FROM deliveries WHERE id = :id")
# ARRAY(...) runs once; a planner may run a plain subquery once for each outer row, and find another page each time.
_TAKE_UNHINTED = text(
    """
    UPDATE deliveries SET resends = resends + 1, sweep_time = now() + make_interval(secs => :hint_grace_s)
    WHERE id = ANY(ARRAY(
        SELECT id FROM deliveries
        WHERE state = 'PENDING' AND sweep_time <= now() AND lease_until IS NULL
        ORDER BY sweep_time LIMIT :limit
        FOR UPDATE SKIP LOCKED))
    RETURNING id, attempts, resends
    """
)


def add_deliveries(
    connection: Connection, event: Event, targets: Sequence[Target], *, hint_grace_s: float
) -> list[Hint]:
    """Insert a delivery for each target that has none yet; return hints for those of the event that were never tried.

    nothing → PENDING, or FAILED for a disabled target; locks the new rows and shares their endpoints.
    The sweeper takes the task of a delivery for lost `hint_grace_s` seconds after its attempt is due.
    """
    for statement, disabled in ((_ADD_PENDING, False), (_ADD_FAILED, True)):
        rows = [_new_row(event, target) for target in targets if target.disabled is disabled]
        if rows:
            connection.execute(statement, [row | {"hint_grace_s": hint_grace_s} for row in rows])
    key = {"request_id": event.request_id, "generation": event.generation, "type": event.type}
    return [Hint(delivery_id, attempt=1) for delivery_id in connection.scalars(_UNTRIED, key)]


def lease(connection: Connection, delivery_id: UUID, *, attempt: int, url: str | None, lease_s: float) -> Lease | None:
    """Lease a PENDING delivery for its next attempt; None when that attempt is done, under way, or not the next one.

    PENDING → PENDING, leased for `lease_s`; locks the delivery. `url` is the endpoint's present one, None without an
    endpoint.
    """
    values = {"id": delivery_id, "attempt": attempt, "url": url, "lease_s": lease_s}
    row = connection.execute(_LEASE, values).mappings().first()
    if row is None:
        return None
    return Lease(
        delivery_id=delivery_id,
        attempt=attempt,
        url=row["url"],
        message_id=row["message_id"],
        body=bytes(row["body"]),
        earlier_attempts=row["earlier_attempts"],
        started_at=row["started_at"],
    )


def end_without_attempt(connection: Connection, delivery_id: UUID, *, attempt: int, reason: EndReason) -> None:
    """PENDING → FAILED, when this attempt is the next one and nobody makes it; locks the delivery."""
    connection.execute(_END_NEXT, {"id": delivery_id, "attempt": attempt, "end_reason": reason.value})


def end_waiting_deliveries(connection: Connection, endpoint_id: UUID, reason: EndReason) -> None:
    """PENDING → FAILED, for all deliveries of an endpoint that no worker is sending.

    The caller holds the endpoint's lock; the deliveries are locked after it.
    """
    connection.execute(_END_WAITING, {"endpoint_id": endpoint_id, "end_reason": reason.value})


def standing(connection: Connection, delivery_id: UUID) -> Standing | None:
    """Return how a delivery stands; None when there is none."""
    row = connection.execute(_STANDING, {"id": delivery_id}).mappings().first()
    return None if row is None else Standing(delivery_id, DeliveryState(row["state"]), row["attempts"])


def take_unhinted(connection: Connection, *, hint_grace_s: float, limit: int) -> list[Hint]:
    """Return new hints for deliveries whose task has not come `hint_grace_s` after it was due.

    PENDING → PENDING, one resend more and not looked at again for `hint_grace_s`; locks a page with SKIP LOCKED.
    """
    values = {"limit": limit, "hint_grace_s": hint_grace_s}
    return [next_hint(row) for row in connection.execute(_TAKE_UNHINTED, values).mappings()]


def _new_row(event: Event, target: Target) -> dict[str, Any]:
    delivery_id = uuid4()
    return {
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
    }


def next_hint(row: Mapping[Any, Any]) -> Hint:
    """Return the hint for the next attempt of a row with `id`, `attempts` and `resends`."""
    return Hint(row["id"], attempt=row["attempts"] + 1, resend=row["resends"])
