"""The table `delivery_attempts`: one row for each finished attempt, written with what follows it.

Whoever records an attempt first decides what follows; any other record of the same attempt changes nothing. Each
function ends the delivery's lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from reporter.state.deliveries import EndReason, Hint


@dataclass(frozen=True, slots=True)
class Attempt:
    """A finished attempt: an HTTP status with the beginning of the answer, or the code of the failure.

    `started_at` None stands for the present time. `only_after_lease` records nothing while a worker holds a lease,
    because that worker will record its own attempt.
    """

    delivery_id: UUID
    number: int
    started_at: datetime | None = None
    elapsed_ms: int = 0
    status_code: int | None = None
    failure: str | None = None
    answer: str = ""
    only_after_lease: bool = False


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An attempt whose worker vanished."""

    hint: Hint
    earlier_attempts: int


_FINISH = """
    UPDATE deliveries SET attempts = :number, resends = 0, lease_until = NULL, {following}
    WHERE id = :id AND state = 'PENDING' AND attempts = :number - 1
      AND (NOT :only_after_lease OR lease_until <= now())
    RETURNING next_attempt_time
"""
_DELIVERED = text(
    _FINISH.format(following="state = 'DELIVERED', end_time = now(), next_attempt_time = NULL, sweep_time = NULL")
)
_GIVEN_UP = text(
    _FINISH.format(
        following="state = 'FAILED', end_reason = :end_reason, end_time = now(), next_attempt_time = NULL,"
        " sweep_time = NULL"
    )
)
_TRY_AGAIN = text(
    _FINISH.format(
        following="next_attempt_time = now() + make_interval(secs => :delay_s),"
        " sweep_time = now() + make_interval(secs => :delay_s) + make_interval(secs => :hint_grace_s)"
    )
)
_ADD = text(
    """
    INSERT INTO delivery_attempts (delivery_id, number, start_time, elapsed_ms, status_code, failure, answer)
    VALUES (:id, :number, coalesce(CAST(:started_at AS timestamptz), now()), :elapsed_ms, :status_code, :failure,
            :answer)
    """
)
_ABANDONED = text(
    """
    SELECT id, attempts, earlier_attempts FROM deliveries
    WHERE lease_until <= now() AND state = 'PENDING'
    ORDER BY lease_until LIMIT :limit
    """
)


def record_delivered(connection: Connection, attempt: Attempt) -> bool:
    """PENDING → DELIVERED; locks the delivery. False when this attempt was recorded before."""
    return _finish(connection, _DELIVERED, attempt) is not None


def record_given_up(connection: Connection, attempt: Attempt, *, reason: EndReason) -> bool:
    """PENDING → FAILED; locks the delivery. False when this attempt was recorded before."""
    return _finish(connection, _GIVEN_UP, attempt, end_reason=reason.value) is not None


def record_try_again(
    connection: Connection, attempt: Attempt, *, delay_s: float, hint_grace_s: float
) -> datetime | None:
    """PENDING → PENDING, due after `delay_s`; locks the delivery. Returns when; None when it was recorded before.

    The sweeper takes the task of the next attempt for lost `hint_grace_s` after that.
    """
    found = _finish(connection, _TRY_AGAIN, attempt, delay_s=delay_s, hint_grace_s=hint_grace_s)
    return None if found is None else found[0]


def abandoned_attempts(connection: Connection, *, limit: int) -> list[Abandoned]:
    """Return the attempts whose lease ran out without a record, the oldest first."""
    rows = connection.execute(_ABANDONED, {"limit": limit}).mappings()
    return [Abandoned(Hint(row["id"], attempt=row["attempts"] + 1), row["earlier_attempts"]) for row in rows]


def _finish(connection: Connection, statement: TextClause, attempt: Attempt, **following: Any) -> Any:
    key = {"id": attempt.delivery_id, "number": attempt.number}
    values = {**key, "only_after_lease": attempt.only_after_lease, **following}
    changed = connection.execute(statement, values).first()
    if changed is not None:
        facts = {
            "started_at": attempt.started_at,
            "elapsed_ms": attempt.elapsed_ms,
            "status_code": attempt.status_code,
            "failure": attempt.failure,
            "answer": attempt.answer,
        }
        connection.execute(_ADD, {**key, **facts})
    return changed
