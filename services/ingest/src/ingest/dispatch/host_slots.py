"""Takes due images of hosts with free slots and spreads their starts, over all batches and instances.

A host has free slots while fewer than `INGEST_HOST_CONCURRENCY` of its images are dispatched. They are counted while
its row is locked, so two claims cannot both see the last slot free. The starts at a host are spread by giving each
image the moment at which its task is to run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ingest.settings import IngestSettings
from ingest.state.hosts import HostHealth, note_starts
from ingest.state.images import dispatch_images
from ingest.state.locks import lock_hosts

_MAX_HOSTS = 1000  # looked at in one claim, those asked least recently first
_MAX_LOCKED = 100  # enough for a page even with one image each

# Not EXISTS, which would be planned as a join that reads every image of the batch.
_FREE = text(
    """
    SELECT h.host, h.failures,
           (SELECT count(*) FROM images WHERE images.host = h.host AND images.status = 'DISPATCHED') AS in_flight
    FROM batch_hosts JOIN hosts AS h USING (host)
    WHERE batch_hosts.batch = :batch AND h.blocked_until <= now()
      AND (SELECT true FROM images WHERE images.host = h.host AND images.batch = :batch
           AND images.status = 'PENDING' AND images.same_as IS NULL AND images.next_at <= now() LIMIT 1)
    ORDER BY h.next_start_at, h.host
    LIMIT :limit
    """
)
# A statement of its own, after the lock: it sees what the holder before us has dispatched.
_IN_FLIGHT = text("SELECT host, count(*) FROM images WHERE host = ANY(:hosts) AND status = 'DISPATCHED' GROUP BY host")


@dataclass(frozen=True, slots=True)
class HostSlots:
    """A locked host: its free slots, when the first image may start, and the time between starts."""

    host: str
    free: int
    first_start_at: datetime
    between: timedelta


@dataclass(frozen=True, slots=True)
class Started:
    """An image that is leased now, and when its task may run."""

    image: RowMapping
    start_at: datetime


def free_hosts(connection: Connection, settings: IngestSettings, request_id: UUID) -> list[str]:
    """Return the hosts of a batch's due images that may be asked now: a guess without locks, for `lock_slots`."""
    found = connection.execute(_FREE, {"batch": request_id, "limit": _MAX_HOSTS}).mappings()
    return [
        row["host"]
        for row in found
        if HostHealth(row["host"], row["failures"], 0.0).free_slots(settings, row["in_flight"]) > 0
    ]


def lock_slots(connection: Connection, settings: IngestSettings, hosts: Sequence[str]) -> dict[str, HostSlots]:
    """Lock the first 100 hosts and return those that have free slots.

    Raises:
        sqlalchemy.exc.OperationalError: another transaction held one of them for too long.
    """
    wanted = list(hosts[:_MAX_LOCKED])
    if not wanted:
        return {}
    locked = lock_hosts(connection, wanted)
    in_flight = {row["host"]: row["count"] for row in connection.execute(_IN_FLIGHT, {"hosts": wanted}).mappings()}
    slots: dict[str, HostSlots] = {}
    for host, row in locked.items():
        health = HostHealth(host, row["failures"], row["blocked_s"])
        free = health.free_slots(settings, in_flight.get(host, 0))
        if free:
            between = timedelta(seconds=1 / settings.host_limits_of(host).starts_per_s)
            slots[host] = HostSlots(host, free, max(row["next_start_at"], row["moment"]), between)
    return slots


def start_images(
    connection: Connection, settings: IngestSettings, slots: dict[str, HostSlots], images: Sequence[RowMapping]
) -> list[Started]:
    """Lease locked images (with `id`, `batch` and `host`), spread their starts and note what the hosts were asked."""
    if not images:
        return []
    taken: Counter[str] = Counter()
    started = []
    for image in images:
        slot = slots[image["host"]]
        started.append(Started(image, slot.first_start_at + taken[slot.host] * slot.between))
        taken[slot.host] += 1
    ids, starts = [found.image["id"] for found in started], [found.start_at for found in started]
    dispatch_images(connection, ids, starts, lease_s=settings.lease_s)
    note_starts(
        connection,
        {host: slots[host].first_start_at + count * slots[host].between for host, count in taken.items()},
        {host: count >= slots[host].free for host, count in taken.items()},
        [(image["batch"], image["host"]) for image in images],
    )
    return started
