"""Reads deliveries with their attempts, for people. Changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from chassis.auth.callers import Caller
from chassis.http.page_tokens import Position


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """A finished attempt; it has a `status_code` with an `answer`, or a `failure`."""

    number: int
    started_at: datetime
    elapsed_ms: int
    status_code: int | None
    failure: str | None
    answer: str


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """A delivery with its attempts in order."""

    id: UUID
    request_id: UUID
    endpoint_id: UUID | None
    message_id: str
    type: str
    generation: int
    url: str
    state: str
    end_reason: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: tuple[LoggedAttempt, ...]


_COLUMNS = """
    id, request_id, endpoint_id, message_id, type, generation, url, state, end_reason, create_time AS created_at,
    next_attempt_time AS next_attempt_at
"""
_VISIBLE = "(:sees_all OR owner IS NOT DISTINCT FROM CAST(:owner AS text))"
_OF_BATCH = text(
    f"""
    SELECT {_COLUMNS} FROM deliveries WHERE request_id = :request_id AND {_VISIBLE}
    ORDER BY create_time, generation, id
    """
)
_ONE = text(f"SELECT {_COLUMNS} FROM deliveries WHERE id = :id AND {_VISIBLE}")
# One statement with the state and one without, so that each is served in order by an index of its own.
_TO_ENDPOINT = f"""
    SELECT {_COLUMNS} FROM deliveries
    WHERE endpoint_id = :endpoint_id {{of_state}}
      AND (CAST(:before_time AS timestamptz) IS NULL OR (create_time, id) < (:before_time, CAST(:before_id AS uuid)))
    ORDER BY create_time DESC, id DESC LIMIT :limit
"""
_ALL_TO_ENDPOINT = text(_TO_ENDPOINT.format(of_state=""))
_SOME_TO_ENDPOINT = text(_TO_ENDPOINT.format(of_state="AND state = :state"))
# One for callers who see everything and one for an owner, so that each is served in order by an index of its own.
_NEWEST = f"""
    SELECT {_COLUMNS} FROM deliveries
    WHERE {{whose}}
      AND (CAST(:before_time AS timestamptz) IS NULL OR (create_time, id) < (:before_time, CAST(:before_id AS uuid)))
    ORDER BY create_time DESC, id DESC LIMIT :limit
"""
_NEWEST_OF_ALL = text(_NEWEST.format(whose="true"))
_NEWEST_OF_OWNER = text(_NEWEST.format(whose="coalesce(owner, '') = :owner"))
_ATTEMPTS = text(
    """
    SELECT delivery_id, number, start_time AS started_at, elapsed_ms, status_code, failure, answer
    FROM delivery_attempts WHERE delivery_id = ANY(:ids) ORDER BY delivery_id, number
    """
)
_ATTEMPT_FIELDS = tuple(field.name for field in fields(LoggedAttempt))


def deliveries_of(connection: Connection, request_id: UUID, *, caller: Caller) -> list[LoggedDelivery]:
    """Return the deliveries of a batch that the caller may see, oldest first."""
    values = {"request_id": request_id, "sees_all": caller.sees_all, "owner": caller.owner}
    return _with_attempts(connection, connection.execute(_OF_BATCH, values).mappings().all())


def find_delivery(connection: Connection, delivery_id: UUID, *, caller: Caller) -> LoggedDelivery | None:
    """Return a delivery; None when there is none that the caller may see."""
    values = {"id": delivery_id, "sees_all": caller.sees_all, "owner": caller.owner}
    found = _with_attempts(connection, connection.execute(_ONE, values).mappings().all())
    return found[0] if found else None


def newest_deliveries(
    connection: Connection, *, caller: Caller, before: Position | None, limit: int
) -> list[LoggedDelivery]:
    """Return the newest `limit` deliveries that the caller may see and that come before an entry."""
    values: dict[str, Any] = {
        "before_time": None if before is None else before.time,
        "before_id": None if before is None else before.id,
        "limit": limit,
    }
    if not caller.sees_all:
        values["owner"] = caller.owner or ""
    statement = _NEWEST_OF_ALL if caller.sees_all else _NEWEST_OF_OWNER
    return _with_attempts(connection, connection.execute(statement, values).mappings().all())


def deliveries_to(
    connection: Connection, endpoint_id: UUID, *, state: str | None, before: Position | None, limit: int
) -> list[LoggedDelivery]:
    """Return the newest `limit` deliveries of an endpoint that come before an entry, in a state or in any."""
    values: dict[str, Any] = {
        "endpoint_id": endpoint_id,
        "before_time": None if before is None else before.time,
        "before_id": None if before is None else before.id,
        "limit": limit,
    }
    statement = _ALL_TO_ENDPOINT
    if state is not None:
        statement, values["state"] = _SOME_TO_ENDPOINT, state
    return _with_attempts(connection, connection.execute(statement, values).mappings().all())


def _with_attempts(connection: Connection, rows: Sequence[RowMapping]) -> list[LoggedDelivery]:
    made: dict[UUID, list[LoggedAttempt]] = defaultdict(list)
    for row in connection.execute(_ATTEMPTS, {"ids": [row["id"] for row in rows]}).mappings():
        made[row["delivery_id"]].append(LoggedAttempt(**{name: row[name] for name in _ATTEMPT_FIELDS}))
    return [LoggedDelivery(**row, attempts=tuple(made[row["id"]])) for row in rows]
