"""The one order in which rows are locked.

1. the lock of counting endpoints (`lock_endpoint_count`),
2. one endpoint (`lock_endpoint`, `lock_endpoint_of_delivery`),
3. its secrets,
4. its deliveries, or one delivery without an endpoint,
5. the attempts of that delivery.

A transaction that needs several of them takes them in this order, so two transactions never wait for each other. A
sweep takes a page of rows of one kind with SKIP LOCKED and never waits at all.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, text

from chassis.auth.callers import Caller

_COUNTING = 7_301_936_402_119
"""Key of an advisory lock; a number that no other program uses."""

_LOCK_COUNT = text("SELECT pg_advisory_xact_lock(:number)")

# NO KEY, because a delivery may be added meanwhile: its foreign key takes FOR KEY SHARE.
_LOCK_ENDPOINT = text(
    """
    SELECT FROM webhook_endpoints
    WHERE id = :endpoint_id AND (:sees_all OR owner IS NOT DISTINCT FROM CAST(:owner AS text))
    FOR NO KEY UPDATE
    """
)
_LOCK_ENDPOINT_OF_DELIVERY = text(
    """
    SELECT FROM webhook_endpoints WHERE id = (SELECT endpoint_id FROM deliveries WHERE id = :delivery_id)
    FOR NO KEY UPDATE
    """
)


def lock_endpoint_count(connection: Connection) -> None:
    """Keep others from adding an endpoint until the transaction ends."""
    connection.execute(_LOCK_COUNT, {"number": _COUNTING})


def lock_endpoint(connection: Connection, endpoint_id: UUID, *, caller: Caller) -> None:
    """Keep others from changing an endpoint until the transaction ends; what is read afterwards is its present row.

    An endpoint that the caller may not see is not locked.
    """
    values = {"endpoint_id": endpoint_id, "sees_all": caller.sees_all, "owner": caller.owner}
    connection.execute(_LOCK_ENDPOINT, values)


def lock_endpoint_of_delivery(connection: Connection, delivery_id: UUID) -> None:
    """Do the same for the endpoint of a delivery; nothing is locked when the delivery has none."""
    connection.execute(_LOCK_ENDPOINT_OF_DELIVERY, {"delivery_id": delivery_id})
