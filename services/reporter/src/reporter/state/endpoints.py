"""The rows of webhook endpoints and of the seeds of their secrets.

Whoever changes an endpoint locks its row first and its deliveries after it, so that no two of them wait for each other.
A deleted endpoint keeps its row for the sake of its deliveries; only `endpoint_of_delivery` sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from chassis.auth.callers import Caller
from chassis.http.page_tokens import Position
from reporter.state.tables import deliveries, endpoint_secrets, endpoints
from reporter.webhooks.secrets import SecretSeed

_LIMIT_LOCK_KEY = 7_301_936_402_119
"""Key of the advisory lock under which endpoints are counted and added."""


class DisabledReason(StrEnum):
    """Why nothing is sent to an endpoint."""

    PAUSED = "PAUSED"
    """Its owner said so."""
    GONE = "GONE"
    """It answered 410."""
    FAILING = "FAILING"
    """Nothing but failures for WEBHOOK_DISABLE_AFTER_S."""
    DELETED = "DELETED"
    """Only its deliveries remember it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A subscription. `event_types` None means all; `failing_since` is the first failure after the last success."""

    id: UUID
    owner: str | None
    url: str
    description: str
    event_types: tuple[str, ...] | None
    disabled_reason: DisabledReason | None
    disable_time: datetime | None
    failing_since: datetime | None
    create_time: datetime
    update_time: datetime


def add_endpoint(connection: Connection, endpoint: Endpoint, *, limit: int) -> int | None:
    """Insert an endpoint; return None, or how many its owner has when these are `limit` already."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LIMIT_LOCK_KEY)))
    if find_endpoint(connection, endpoint.id, caller=Caller(endpoint.owner)) is not None:
        return None  # a transaction that is run again, because its commit was answered by nobody
    count = count_endpoints(connection, owner=endpoint.owner)
    if count >= limit:
        return count
    values = {name: getattr(endpoint, name) for name in _FIELDS}
    values["event_types"] = None if endpoint.event_types is None else list(endpoint.event_types)
    connection.execute(sa.insert(endpoints).values(values))
    return None


def find_endpoint(connection: Connection, endpoint_id: UUID, *, caller: Caller, lock: bool = False) -> Endpoint | None:
    """Return an endpoint, locked against other changes if asked; None when there is none that the caller may see."""
    query = sa.select(*_COLUMNS).where(endpoints.c.id == endpoint_id, *_visible_to(caller))
    row = connection.execute(_locked(query) if lock else query).one_or_none()
    return None if row is None else _endpoint(row)


def list_endpoints(connection: Connection, *, caller: Caller, after: Position | None, limit: int) -> list[Endpoint]:
    """Return the endpoints that the caller may see, oldest first, beginning after a place."""
    query = sa.select(*_COLUMNS).where(*_visible_to(caller)).order_by(endpoints.c.create_time, endpoints.c.id)
    if after is not None:
        query = query.where(sa.tuple_(endpoints.c.create_time, endpoints.c.id) > (after.time, after.id))
    return [_endpoint(row) for row in connection.execute(query.limit(limit))]


def subscribed_endpoints(connection: Connection, *, owner: str | None, event_type: str) -> list[Endpoint]:
    """Return an owner's endpoints that want an event, also the disabled ones."""
    query = (
        sa.select(*_COLUMNS)
        .where(
            *_owned_by(owner),
            sa.or_(endpoints.c.event_types.is_(None), endpoints.c.event_types.contains([event_type])),
        )
        .order_by(endpoints.c.create_time, endpoints.c.id)
    )
    return [_endpoint(row) for row in connection.execute(query)]


def endpoint_of_delivery(connection: Connection, delivery_id: UUID, *, lock: bool = False) -> Endpoint | None:
    """Return the endpoint of a delivery, deleted or not; None when the delivery has none."""
    query = sa.select(*_COLUMNS).where(
        endpoints.c.id == sa.select(deliveries.c.endpoint_id).where(deliveries.c.id == delivery_id).scalar_subquery()
    )
    row = connection.execute(_locked(query) if lock else query).one_or_none()
    return None if row is None else _endpoint(row)


def change_endpoint(connection: Connection, endpoint_id: UUID, changes: Mapping[str, Any]) -> Endpoint:
    """Set columns of an endpoint and return it."""
    query = sa.update(endpoints).where(endpoints.c.id == endpoint_id).values(dict(changes)).returning(*_COLUMNS)
    return _endpoint(connection.execute(query).one())


def disable_endpoint(connection: Connection, endpoint_id: UUID, reason: DisabledReason, *, now: datetime) -> Endpoint:
    """Disable an endpoint whose row the caller has locked, and end what waits to be sent to it."""
    values: dict[str, Any] = {"disabled_reason": reason, "disable_time": now, "update_time": now}
    if reason is DisabledReason.DELETED:
        values["delete_time"] = now
        connection.execute(sa.delete(endpoint_secrets).where(endpoint_secrets.c.endpoint_id == endpoint_id))
    # What a worker is sending this very moment stays its own: it will find the endpoint disabled when it records.
    connection.execute(
        sa.update(deliveries)
        .where(
            deliveries.c.endpoint_id == endpoint_id,
            deliveries.c.state == "PENDING",
            sa.or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until <= now),
        )
        .values(ended_as(end_reason(reason), now=now))
    )
    return change_endpoint(connection, endpoint_id, values)


def end_reason(reason: DisabledReason) -> str:
    """Return why a delivery to such an endpoint ended."""
    return "ENDPOINT_DELETED" if reason is DisabledReason.DELETED else "ENDPOINT_DISABLED"


def ended_as(reason: str, *, now: datetime) -> dict[str, Any]:
    """Return the columns of a delivery that has FAILED for a reason."""
    ended = {"state": "FAILED", "end_reason": reason, "end_time": now, "lease_until": None}
    return {**ended, "next_attempt_time": None, "sweep_time": None}


def note_success(connection: Connection, endpoint_id: UUID) -> None:
    """Forget the failures of an endpoint that took an event."""
    query = sa.update(endpoints).where(endpoints.c.id == endpoint_id, endpoints.c.failing_since.is_not(None))
    connection.execute(query.values(failing_since=None))


def note_failure(
    connection: Connection, endpoint: Endpoint, *, gone: bool, start_time: datetime, now: datetime, patience: timedelta
) -> DisabledReason | None:
    """Note a failed attempt on a locked endpoint; disable it, and say why, when it is gone or failing for too long."""
    if endpoint.disabled_reason is not None:
        return None
    since = endpoint.failing_since or start_time
    if endpoint.failing_since is None:
        change_endpoint(connection, endpoint.id, {"failing_since": since})
    if not gone and now - since < patience:
        return None
    reason = DisabledReason.GONE if gone else DisabledReason.FAILING
    disable_endpoint(connection, endpoint.id, reason, now=now)
    return reason


def add_secret(
    connection: Connection, endpoint_id: UUID, seed: SecretSeed, *, now: datetime, overlap: timedelta
) -> int:
    """Insert a secret and let those before it sign until `now + overlap`, if not shorter; return how many sign.

    The caller has locked the endpoint, or made it.
    """
    columns = endpoint_secrets.c
    expire_time = now + overlap
    connection.execute(
        sa.update(endpoint_secrets)
        .where(
            columns.endpoint_id == endpoint_id,
            columns.salt != seed.salt,
            sa.or_(columns.expire_time.is_(None), columns.expire_time > expire_time),
        )
        .values(expire_time=expire_time)
    )
    connection.execute(
        sa.delete(endpoint_secrets).where(columns.endpoint_id == endpoint_id, columns.expire_time <= now)
    )
    connection.execute(
        insert(endpoint_secrets)
        .values(endpoint_id=endpoint_id, salt=seed.salt, key_id=seed.key_id, create_time=now, expire_time=None)
        .on_conflict_do_nothing()
    )
    return len(live_secrets(connection, endpoint_id, now=now))


def live_secrets(connection: Connection, endpoint_id: UUID, *, now: datetime) -> list[SecretSeed]:
    """Return what an endpoint's events are signed with now, the newest first."""
    columns = endpoint_secrets.c
    query = (
        sa.select(columns.key_id, columns.salt)
        .where(columns.endpoint_id == endpoint_id, sa.or_(columns.expire_time.is_(None), columns.expire_time > now))
        .order_by(columns.expire_time.desc().nulls_first(), columns.create_time.desc())
    )
    return [SecretSeed(row.key_id, bytes(row.salt)) for row in connection.execute(query)]


_FIELDS = (
    "id",
    "owner",
    "url",
    "description",
    "event_types",
    "disabled_reason",
    "disable_time",
    "failing_since",
    "create_time",
    "update_time",
)
_COLUMNS = tuple(endpoints.c[name] for name in _FIELDS)


def count_endpoints(connection: Connection, *, owner: str | None) -> int:
    """Return how many endpoints an owner has."""
    query = sa.select(sa.func.count()).select_from(endpoints).where(*_owned_by(owner))
    return int(connection.execute(query).scalar_one())


def _owned_by(owner: str | None) -> Sequence[sa.ColumnElement[bool]]:
    return endpoints.c.owner.is_not_distinct_from(owner), endpoints.c.delete_time.is_(None)


def _visible_to(caller: Caller) -> Sequence[sa.ColumnElement[bool]]:
    return (endpoints.c.delete_time.is_(None),) if caller.sees_all else _owned_by(caller.owner)


def _locked(query: sa.Select[Any]) -> sa.Select[Any]:
    # Not against foreign keys: deliveries may be added meanwhile.
    return query.with_for_update(key_share=True)


def _endpoint(row: Any) -> Endpoint:
    types, reason = row.event_types, row.disabled_reason
    return Endpoint(
        **{
            **{name: getattr(row, name) for name in _FIELDS},
            "event_types": None if types is None else tuple(types),
            "disabled_reason": None if reason is None else DisabledReason(reason),
        }
    )
