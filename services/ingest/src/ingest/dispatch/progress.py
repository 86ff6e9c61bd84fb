"""How far a batch is, for the execution that supervises it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.db.engine import transact
from ingest.dispatch.claim import window_left
from ingest.errors import not_owner
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, load_batch
from ingest.state.execution import hear_from_execution
from ingest.state.hosts import HostHealth

# A claim also ends what is overdue: leases that ran out count as due, and a cancelled or late batch is due whole.
_LEASES = text(
    """
    SELECT
        count(*) FILTER (WHERE lease_until <= now()) AS expired,
        extract(epoch FROM min(lease_until) FILTER (WHERE lease_until > now()) - now())::float AS next_s,
        (SELECT cancel_requested OR deadline_at <= now() FROM batches WHERE request_id = :batch) AS overdue
    FROM images WHERE batch = :batch AND status = 'DISPATCHED'
    """
)
_HOSTS = text(
    """
    SELECT hosts.host, hosts.failures, first.due_s,
           extract(epoch FROM hosts.blocked_until - now())::float AS blocked_s,
           extract(epoch FROM hosts.opened_at - now())::float AS opened_s,
           (SELECT count(*) FROM images WHERE images.host = hosts.host AND images.status = 'DISPATCHED') AS in_flight,
           (SELECT count(*) FROM (
                SELECT 1 FROM images
                WHERE images.host = hosts.host AND images.batch = batch_hosts.batch AND images.status = 'PENDING'
                  AND images.same_as IS NULL AND images.next_at <= now()
                LIMIT :limit) AS due) AS due
    FROM batch_hosts JOIN hosts USING (host)
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM min(next_at) - now())::float AS due_s FROM images
        WHERE images.host = hosts.host AND images.batch = batch_hosts.batch
          AND images.status = 'PENDING' AND images.same_as IS NULL) AS first
    WHERE batch_hosts.batch = :batch AND first.due_s IS NOT NULL
    """
)
_IS_ADOPTED = text("SELECT EXISTS (SELECT 1 FROM batch_hosts WHERE batch = :batch)")
_FULL_WINDOW_POLL_S = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """`due` images can be claimed now; `next_due_s` is the time until the next one can, None when none waits for one.

    Images that wait only for a slot of their host are neither: the next outcome of that host dispatches them.
    """

    batch: Batch
    due: int
    next_due_s: float | None


def read_progress(engine: Engine, settings: IngestSettings, request_id: UUID, *, execution: str) -> Progress:
    """Return the progress of a batch and take the question as a sign of life of its owner.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER.
    """

    def work(connection: Connection) -> Progress:
        batch = hear_from_execution(connection, request_id, execution)
        if batch is None:
            load_batch(connection, request_id)
            raise not_owner(request_id, execution)
        if batch.pending == 0:
            return Progress(batch, 0, None)
        leases = connection.execute(_LEASES, {"batch": request_id}).mappings().one()
        if leases["overdue"]:
            return Progress(batch, batch.pending, 0.0)
        waiting, moments = _waiting(connection, settings, request_id)
        due = leases["expired"]
        if waiting:
            left = window_left(connection, settings, request_id)
            if left == 0 and due == 0:
                # The window is full: what is due can be claimed once outcomes have come, so look again soon.
                return Progress(batch, 0, _FULL_WINDOW_POLL_S)
            due += min(waiting, left)
        moments += [] if leases["next_s"] is None else [leases["next_s"]]
        return Progress(batch, due, min(moments, default=None))

    return transact(engine, work)


def _waiting(connection: Connection, settings: IngestSettings, request_id: UUID) -> tuple[int, list[float]]:
    """Return how many images may be dispatched now, and in how many seconds others can at the earliest."""
    found = connection.execute(_HOSTS, {"batch": request_id, "limit": settings.max_host_concurrency}).mappings().all()
    waiting = 0
    moments: list[float] = []
    for row in found:
        health = HostHealth(row["host"], row["failures"], row["blocked_s"])
        in_s = max(row["due_s"], row["blocked_s"])
        if in_s > 0:
            moments.append(in_s)
        else:
            waiting += min(row["due"], health.free_slots(settings, row["in_flight"]))
        if health.failures >= settings.host_failures:
            # A claim ends images that have waited too long for an open host.
            give_up_s = max(row["due_s"], row["opened_s"] or 0.0) + settings.host_patience_s
            if give_up_s > 0:
                moments.append(give_up_s)
            else:
                waiting += row["due"]
    if not found and not connection.execute(_IS_ADOPTED, {"batch": request_id}).scalar_one():
        # A batch of the release before: its first claim finds out.
        waiting = 1
    return waiting, moments
