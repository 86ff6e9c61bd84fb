"""The hosts of a batch, as its status lists them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.auth.callers import Caller
from chassis.db.engine import transact
from chassis.limited import Limited
from chassis.times import rfc3339
from ingest.batches.savings import savings
from ingest.settings import IngestSettings
from ingest.state.batch import load_batch
from ingest.state.hosts import host_state, learned_rate

MAX_LISTED_HOSTS: Annotated[
    int, Limited("hosts", "those in trouble first, and `host_count`", "Hosts that `/status` lists; all count")
] = 100
"""Most hosts that the status of a batch lists, those in trouble first."""

_LISTED = text(
    """
    SELECT b.host, b.images, b.requests, b.failures, b.succeeded, b.bytes_in, b.bytes_out,
           h.opened_at IS NOT NULL AS is_shut, h.blocked_until, h.rate, exp(h.floor_log_s) AS floor_s,
           (SELECT count(*) FROM images WHERE images.host = b.host AND images.status = 'DISPATCHED'
              AND images.lease_until <= now() + make_interval(secs => :lease_s)) AS under_way,
           coalesce(extract(epoch FROM h.blocked_until - now())::float, 0) AS blocked_s, count(*) OVER () AS hosts
    FROM batch_hosts b LEFT JOIN hosts h USING (host)
    WHERE b.batch = :batch
    ORDER BY (h.opened_at IS NOT NULL) DESC, (h.blocked_until > now()) DESC NULLS LAST,
             b.failures DESC, b.images DESC, b.host
    LIMIT :limit
    """
)


def read_hosts(
    engine: Engine, settings: IngestSettings, request_id: UUID, *, caller: Caller, limit: int
) -> dict[str, Any]:
    """Return `hosts` and `host_count` of a batch, of the hosts at most `limit`, those in trouble first.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, also when the caller may not see it.
    """

    def work(connection: Connection) -> dict[str, Any]:
        load_batch(connection, request_id, seen_by=caller)
        return list_hosts(connection, settings, request_id, limit=limit)

    return transact(engine, work)


def list_hosts(
    connection: Connection, settings: IngestSettings, request_id: UUID, *, limit: int = MAX_LISTED_HOSTS
) -> dict[str, Any]:
    """Return `hosts` and `host_count` of a batch; what is counted is its own, the state is everybody's."""
    values = {"batch": request_id, "lease_s": settings.lease_s, "limit": limit}
    found = connection.execute(_LISTED, values).mappings().all()
    hosts = []
    for row in found:
        state = host_state(is_shut=row["is_shut"], blocked_s=row["blocked_s"])
        rate = None if row["rate"] is None else learned_rate(settings, row["host"], row["rate"], row["floor_s"])
        hosts.append(
            {
                "host": row["host"],
                "state": state.value,
                "images": row["images"],
                "requests": row["requests"],
                "failures": row["failures"],
                "images_per_s": None if rate is None else round(rate, 2),
                "under_way": row["under_way"],
                "first_byte_ms": None if row["floor_s"] is None else round(row["floor_s"] * 1000),
                "savings": savings(row["succeeded"], row["bytes_in"], row["bytes_out"]),
                "until": rfc3339(row["blocked_until"]) if row["blocked_s"] > 0 else None,
            }
        )
    return {"hosts": hosts, "host_count": found[0]["hosts"] if found else 0}
