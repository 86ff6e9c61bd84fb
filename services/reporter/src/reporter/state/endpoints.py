"""The table `webhook_endpoints`: who is told of which events.

`enabled → disabled (PAUSED, GONE, FAILING) → enabled`, and from either of them `→ DELETED`. A deleted endpoint keeps
its row for the sake of its deliveries; only `endpoint_of_delivery` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from chassis.auth.callers import Caller
from chassis.http.page_tokens import Position
from reporter.state.deliveries import EndReason, end_waiting_deliveries
from reporter.state.locks import lock_endpoint_count
from reporter.state.secrets import delete_secrets


class DisabledReason(StrEnum):
    """Why nothing is sent to an endpoint."""

    PAUSED = "PAUSED"
    """Its owner said so."""
    GONE = "GONE"
    """It answered 410."""
    FAILING = "FAILING"
    """Nothing but failures for WEBHOOK_DISABLE_AFTER_S."""
    DELETED = "DELETED"
    """Its owner deleted it."""

    @property
    def ends_deliveries_as(self) -> EndReason:
        """Return why a delivery to such an endpoint ended."""
        return EndReason.ENDPOINT_DELETED if self is DisabledReason.DELETED else EndReason.ENDPOINT_DISABLED


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint to be added. `event_types` None means all events, also those of later releases."""

    id: UUID
    owner: str | None
    url: str
    description: str
    event_types: tuple[str, ...] | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row of `webhook_endpoints`; `failing_since` is the first failure after the last success."""

    id: UUID
    owner: str | None
    url: str
    description: str
    event_types: tuple[str, ...] | None
    disabled_reason: DisabledReason | None
    disabled_at: datetime | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What a change names: None leaves a column; `new_event_types` says whether `event_types` is named."""

    url: str | None = None
    description: str | None = None
    new_event_types: bool = False
    event_types: tuple[str, ...] | None = None


_COLUMNS = """
    id, owner, url, description, event_types, disabled_reason, disable_time AS disabled_at, failing_since,
    create_time AS created_at, update_time AS updated_at
"""
_ADD = text(
    f"""
    INSERT INTO webhook_endpoints (id, owner, url, description, event_types, disabled_reason, disable_time,
                                   create_time, update_time)
    VALUES (:id, :owner, :url, :description, :event_types, CAST(:disabled_reason AS text),
            CASE WHEN CAST(:disabled_reason AS text) IS NOT NULL THEN now() END, now(), now())
    RETURNING {_COLUMNS}
    """
)
# What a caller may not see is not there for it: the same answer, in the same time, as for an unknown id.
_FIND = text(
    f"""
    SELECT {_COLUMNS} FROM webhook_endpoints
    WHERE id = :id AND delete_time IS NULL AND (:sees_all OR owner IS NOT DISTINCT FROM CAST(:owner AS text))
    """
)
# A statement for each kind of owner, because no index serves IS NOT DISTINCT FROM.
_OWNERS = {"owner": "owner = :owner", "nobody": "owner IS NULL", "all": "true"}
_LIST = {
    kind: text(
        f"""
        SELECT {_COLUMNS} FROM webhook_endpoints
        WHERE {owned} AND delete_time IS NULL
          AND (CAST(:after_time AS timestamptz) IS NULL OR (create_time, id) > (:after_time, CAST(:after_id AS uuid)))
        ORDER BY create_time, id LIMIT :limit
        """
    )
    for kind, owned in _OWNERS.items()
}
_SUBSCRIBED = {
    kind: text(
        f"""
        SELECT {_COLUMNS} FROM webhook_endpoints
        WHERE {owned} AND delete_time IS NULL AND (event_types IS NULL OR event_types @> ARRAY[:event_type])
        ORDER BY create_time, id
        """
    )
    for kind, owned in _OWNERS.items()
}
_COUNT = {
    kind: text(f"SELECT count(*) FROM webhook_endpoints WHERE {owned} AND delete_time IS NULL")
    for kind, owned in _OWNERS.items()
}
_OF_DELIVERY = text(
    f"""
    SELECT {_COLUMNS} FROM webhook_endpoints WHERE id = (SELECT endpoint_id FROM deliveries WHERE id = :delivery_id)
    """
)
# Failures of another URL say nothing of the new one.
_CHANGE = text(
    f"""
    UPDATE webhook_endpoints SET
        failing_since = CASE WHEN CAST(:url AS text) <> url THEN NULL ELSE failing_since END,
        url = coalesce(CAST(:url AS text), url),
        description = coalesce(CAST(:description AS text), description),
        event_types = CASE WHEN :new_event_types THEN CAST(:event_types AS text[]) ELSE event_types END,
        update_time = now()
    WHERE id = :id
    RETURNING {_COLUMNS}
    """
)
_ENABLE = text(
    """
    UPDATE webhook_endpoints SET disabled_reason = NULL, disable_time = NULL, failing_since = NULL, update_time = now()
    WHERE id = :id AND disabled_reason IS NOT NULL
    """
)
_DISABLE = text(
    """
    UPDATE webhook_endpoints SET disabled_reason = :reason, disable_time = now(), update_time = now()
    WHERE id = :id AND disabled_reason IS NULL
    """
)
_DELETE = text(
    """
    UPDATE webhook_endpoints
    SET disabled_reason = 'DELETED', disable_time = now(), update_time = now(), delete_time = now()
    WHERE id = :id AND delete_time IS NULL
    """
)


def add_endpoint(connection: Connection, endpoint: NewEndpoint, *, limit: int) -> Endpoint | int:
    """Insert an endpoint and return it, or how many its owner has when these are `limit` already.

    nothing → enabled, or disabled as PAUSED; locks the counting of endpoints.
    """
    lock_endpoint_count(connection)
    found = find_endpoint(connection, endpoint.id, caller=Caller(endpoint.owner))
    if found is not None:
        return found  # a transaction that is run again, because the answer to its commit was lost
    count = count_endpoints(connection, owner=endpoint.owner)
    if count >= limit:
        return count
    values = {
        "id": endpoint.id,
        "owner": endpoint.owner,
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": _listed(endpoint.event_types),
        "disabled_reason": None if endpoint.enabled else DisabledReason.PAUSED.value,
    }
    return _endpoint(connection.execute(_ADD, values).mappings().one())


def find_endpoint(connection: Connection, endpoint_id: UUID, *, caller: Caller) -> Endpoint | None:
    """Return an endpoint; None when there is none that the caller may see."""
    values = {"id": endpoint_id, "sees_all": caller.sees_all, "owner": caller.owner}
    row = connection.execute(_FIND, values).mappings().first()
    return None if row is None else _endpoint(row)


def list_endpoints(connection: Connection, *, caller: Caller, after: Position | None, limit: int) -> list[Endpoint]:
    """Return the endpoints that the caller may see, oldest first, beginning after an entry."""
    kind, owner = ("all", {}) if caller.sees_all else _of_owner(caller.owner)
    values = {
        **owner,
        "after_time": None if after is None else after.time,
        "after_id": None if after is None else after.id,
        "limit": limit,
    }
    return [_endpoint(row) for row in connection.execute(_LIST[kind], values).mappings()]


def subscribed_endpoints(connection: Connection, *, owner: str | None, event_type: str) -> list[Endpoint]:
    """Return an owner's endpoints that want an event, also the disabled ones."""
    kind, values = _of_owner(owner)
    rows = connection.execute(_SUBSCRIBED[kind], {**values, "event_type": event_type}).mappings()
    return [_endpoint(row) for row in rows]


def count_endpoints(connection: Connection, *, owner: str | None) -> int:
    """Return how many endpoints an owner has."""
    kind, values = _of_owner(owner)
    return int(connection.execute(_COUNT[kind], values).scalar_one())


def endpoint_of_delivery(connection: Connection, delivery_id: UUID) -> Endpoint | None:
    """Return the endpoint of a delivery, deleted or not; None when the delivery has none."""
    row = connection.execute(_OF_DELIVERY, {"delivery_id": delivery_id}).mappings().first()
    return None if row is None else _endpoint(row)


def change_endpoint(connection: Connection, endpoint_id: UUID, change: EndpointChange) -> Endpoint:
    """Set the columns that a change names and return the endpoint.

    enabled → enabled, disabled → disabled; the caller holds the endpoint's lock.
    """
    values = {
        "id": endpoint_id,
        "url": change.url,
        "description": change.description,
        "new_event_types": change.new_event_types,
        "event_types": _listed(change.event_types),
    }
    return _endpoint(connection.execute(_CHANGE, values).mappings().one())


def enable_endpoint(connection: Connection, endpoint_id: UUID) -> None:
    """Disabled → enabled, its failures forgotten; the caller holds the endpoint's lock."""
    connection.execute(_ENABLE, {"id": endpoint_id})


def disable_endpoint(connection: Connection, endpoint_id: UUID, reason: DisabledReason) -> None:
    """Enabled → disabled, and its waiting deliveries PENDING → FAILED; one that is disabled keeps its reason.

    The caller holds the endpoint's lock; the deliveries are locked after it.
    """
    if connection.execute(_DISABLE, {"id": endpoint_id, "reason": reason.value}).rowcount:
        end_waiting_deliveries(connection, endpoint_id, reason.ends_deliveries_as)


def delete_endpoint(connection: Connection, endpoint_id: UUID) -> None:
    """Enabled or disabled → DELETED, its secrets gone, its waiting deliveries PENDING → FAILED.

    The caller holds the endpoint's lock; secrets and deliveries are locked after it.
    """
    delete_secrets(connection, endpoint_id)
    end_waiting_deliveries(connection, endpoint_id, DisabledReason.DELETED.ends_deliveries_as)
    connection.execute(_DELETE, {"id": endpoint_id})


def _of_owner(owner: str | None) -> tuple[str, dict[str, Any]]:
    return ("nobody", {}) if owner is None else ("owner", {"owner": owner})


def _listed(event_types: Sequence[str] | None) -> list[str] | None:
    return None if event_types is None else list(event_types)


def _endpoint(row: RowMapping) -> Endpoint:
    types, reason = row["event_types"], row["disabled_reason"]
    return Endpoint(
        **{
            **row,
            "event_types": None if types is None else tuple(types),
            "disabled_reason": None if reason is None else DisabledReason(reason),
        }
    )
