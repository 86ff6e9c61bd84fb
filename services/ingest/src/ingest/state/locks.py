"""The one order in which transactions take locks, and the functions that take them.

A transaction takes what it needs of this list, from the top downwards:

1. the idempotency key of an upload (its row is inserted, or the insert waits for whoever inserts it);
2. images in the order of their ids, with the images that repeat their URLs: outcomes only, and they wait for them;
3. the batch;
4. hosts, in the order of their names;
5. images of the batch or of the hosts: never waited for, taken with SKIP LOCKED;
6. `batch_hosts`, entries of the outbox, and rows of `known_sources` in the order of their keys;
7. the owner, whose quotas are looked at: an advisory lock, the last before the commit.

An outcome holds images while it waits for the batch. So whoever holds a batch passes over the images that are held;
the next claim or sweep finds them. No two transactions wait for one another.

The end of a kept batch (`state.retention`) is the exception: it holds the batch and deletes its images without SKIP
LOCKED. No outcome waits for a batch that has ended, so there is nobody to wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from chassis.auth.callers import SYSTEM, Caller
from ingest.state.batch import SELECT_BATCH, Batch, found_batch, visible_key

_OWNER_LOCKS = 0x9005
"""First key of the advisory locks of owners; the second is a hash of the owner."""

_BATCH = text(f"{SELECT_BATCH} FOR UPDATE")
_IMAGE = text(
    """
    SELECT images.batch, images.status, images.attempt, images.attempt_limit, images.host, images.lease_until,
           hosts.opened_at IS NOT NULL AS host_is_shut
    FROM images LEFT JOIN hosts ON hosts.host = images.host
    WHERE images.id = :image
    FOR UPDATE OF images
    """
)
_HOSTS = text(
    """
    SELECT host, rate, floor_log_s, opened_at IS NOT NULL AS is_shut, ceiling IS NOT NULL AS is_steady,
           coalesce(floor_log_s, CASE WHEN sampled > 0 THEN sample_log_s END) AS usual_log_s,
           clock_timestamp() AS moment,
           extract(epoch FROM blocked_until - clock_timestamp())::float AS blocked_s,
           extract(epoch FROM next_start_at - clock_timestamp())::float AS next_s
    FROM hosts WHERE host = ANY(:hosts) ORDER BY host FOR UPDATE
    """
)
# An event that still waits keeps its batch: the subscriber has not been told.
_OLDEST_ENDED = text(
    """
    SELECT request_id FROM batches
    WHERE finished_at <= now() - make_interval(days => :days)
      AND NOT EXISTS (SELECT FROM outbox WHERE outbox.batch = batches.request_id)
    ORDER BY finished_at LIMIT 1
    FOR UPDATE SKIP LOCKED
    """
)
_OWNER = text("SELECT pg_advisory_xact_lock(:locks, hashtext(:owner))")


def lock_image(connection: Connection, request_id: UUID, image_id: UUID) -> RowMapping | None:
    """Lock an image (2) and return its status, attempts and host; None when the batch has no such image."""
    # By the id alone: with the batch beside it, an index of the batch may be taken for as good as the id's.
    row = connection.execute(_IMAGE, {"image": image_id}).mappings().first()
    return row if row is not None and row["batch"] == request_id else None


def lock_batch(connection: Connection, request_id: UUID, *, seen_by: Caller = SYSTEM) -> Batch:
    """Lock a batch (3) and return it as it is now.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, also when the caller may not see it.
    """
    row = connection.execute(_BATCH, visible_key(request_id, seen_by)).mappings().first()
    return found_batch(row, request_id)


def lock_oldest_ended(connection: Connection, *, days: int) -> UUID | None:
    """Lock (3) the batch that ended first of those that ended more than `days` days ago, unless somebody holds it."""
    found: UUID | None = connection.execute(_OLDEST_ENDED, {"days": days}).scalar_one_or_none()
    return found


def lock_hosts(connection: Connection, hosts: Sequence[str]) -> dict[str, RowMapping]:
    """Lock hosts (4) and return their health by name; those that have no row are missing.

    Raises:
        sqlalchemy.exc.OperationalError: another transaction held one of them for too long.
    """
    found = connection.execute(_HOSTS, {"hosts": list(hosts)}).mappings()
    return {row["host"]: row for row in found}


def lock_owner(connection: Connection, owner: str | None) -> None:
    """Lock an owner's quotas (7) until the transaction ends; None is everybody without a name."""
    connection.execute(_OWNER, {"locks": _OWNER_LOCKS, "owner": owner or ""})
