"""Deletes rows some time after their end, a bounded page of each kind.

A PENDING delivery is never deleted, and a deleted endpoint only once it has no delivery. Every page is locked with SKIP
LOCKED, so the deletion waits for nobody.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

# ORDER BY, so that the index is used before there are statistics: without it a table without old rows is read whole.
# ARRAY(...) runs once and gives a list, which is looked up in the primary key; a join might read the whole table.
_DELETE_REPORTS = text(
    """
    DELETE FROM reports WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM reports
        WHERE create_time <= now() - make_interval(days => :days)
        ORDER BY create_time LIMIT :limit
        FOR UPDATE SKIP LOCKED))
    """
)
_DELETE_DELIVERIES = text(
    """
    DELETE FROM deliveries WHERE id = ANY(ARRAY(
        SELECT id FROM deliveries
        WHERE end_time <= now() - make_interval(days => :days)
        ORDER BY end_time LIMIT :limit
        FOR UPDATE SKIP LOCKED))
    """
)
# A deleted endpoint has no secrets.
_DELETE_ENDPOINTS = text(
    """
    DELETE FROM webhook_endpoints WHERE id = ANY(ARRAY(
        SELECT id FROM webhook_endpoints
        WHERE delete_time <= now() - make_interval(days => :days)
          AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.endpoint_id = webhook_endpoints.id)
        ORDER BY delete_time LIMIT :limit
        FOR UPDATE SKIP LOCKED))
    """
)


def delete_expired_reports(connection: Connection, *, days: int, limit: int) -> int:
    """Published → nothing, for reports of `days` ago; return how many. Locks a page with SKIP LOCKED."""
    return connection.execute(_DELETE_REPORTS, {"days": days, "limit": limit}).rowcount


def delete_expired_deliveries(connection: Connection, *, days: int, limit: int) -> int:
    """DELIVERED or FAILED → nothing, with the attempts, `days` after the end. Locks a page with SKIP LOCKED."""
    return connection.execute(_DELETE_DELIVERIES, {"days": days, "limit": limit}).rowcount


def delete_expired_endpoints(connection: Connection, *, days: int, limit: int) -> int:
    """DELETED → nothing, `days` after that and once no delivery is left. Locks a page with SKIP LOCKED."""
    return connection.execute(_DELETE_ENDPOINTS, {"days": days, "limit": limit}).rowcount
