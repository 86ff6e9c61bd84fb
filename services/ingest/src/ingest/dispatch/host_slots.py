"""Politeness: takes due images of hosts that have room, and paces their starts, over all batches and instances.

A host has room while fewer than `INGEST_HOST_CONCURRENCY` of its images are dispatched; they are counted while its row
is locked, so that two claims cannot both see the last place free. The starts of a host are spread by giving each
image the moment at which its task is to run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ingest.settings import IngestSettings
from ingest.state.hosts import HostHealth

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
_LOCK = text(
    """
    SELECT host, failures, extract(epoch FROM blocked_until - clock_timestamp())::float AS blocked_s, next_start_at,
           clock_timestamp() AS moment
    FROM hosts WHERE host = ANY(:hosts) ORDER BY host FOR UPDATE
    """
)
# A statement of its own, after the lock: it sees what the holder before us has dispatched.
_IN_FLIGHT = text("SELECT host, count(*) FROM images WHERE host = ANY(:hosts) AND status = 'DISPATCHED' GROUP BY host")
_DISPATCH = text(
    """
    UPDATE images SET status = 'DISPATCHED', attempt = attempt + 1,
                      lease_until = start.at + make_interval(secs => :lease_s)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:starts AS timestamptz[])) AS start (id, at)
    WHERE images.id = start.id
    """
)
_PACE = text(
    """
    UPDATE hosts SET next_start_at = pace.at, waiting = hosts.waiting OR pace.is_full
    FROM unnest(CAST(:hosts AS text[]), CAST(:moments AS timestamptz[]), CAST(:full AS boolean[]))
         AS pace (host, at, is_full)
    WHERE hosts.host = pace.host
    """
)
_COUNT_REQUESTS = text(
    """
    UPDATE batch_hosts SET requests = requests + asked.count
    FROM (SELECT batch, host, count(*) FROM unnest(CAST(:batches AS uuid[]), CAST(:hosts AS text[])) AS t (batch, host)
          GROUP BY batch, host) AS asked
    WHERE batch_hosts.batch = asked.batch AND batch_hosts.host = asked.host
    """
)


@dataclass(frozen=True, slots=True)
class HostRoom:
    """A locked host: how many images it may get, when the first of them may start, and the time between starts."""

    host: str
    room: int
    first_start_at: datetime
    between: timedelta


@dataclass(frozen=True, slots=True)
class Started:
    """An image that is leased now, and when its task may run."""

    image: RowMapping
    start_at: datetime


def free_hosts(connection: Connection, settings: IngestSettings, request_id: UUID) -> list[str]:
    """Return the hosts of a batch's due images that may be asked now: a guess without locks, for `lock_rooms`."""
    found = connection.execute(_FREE, {"batch": request_id, "limit": _MAX_HOSTS}).mappings()
    return [
        row["host"]
        for row in found
        if HostHealth(row["host"], row["failures"], 0.0).room(settings, row["in_flight"]) > 0
    ]


def lock_rooms(connection: Connection, settings: IngestSettings, hosts: Sequence[str]) -> dict[str, HostRoom]:
    """Lock the first 100 hosts and return those that have room.

    Raises:
        sqlalchemy.exc.OperationalError: another transaction held one of them for too long.
    """
    wanted = list(hosts[:_MAX_LOCKED])
    if not wanted:
        return {}
    locked = {row["host"]: row for row in connection.execute(_LOCK, {"hosts": wanted}).mappings()}
    in_flight = {row["host"]: row["count"] for row in connection.execute(_IN_FLIGHT, {"hosts": wanted}).mappings()}
    rooms: dict[str, HostRoom] = {}
    for host, row in locked.items():
        health = HostHealth(host, row["failures"], row["blocked_s"])
        room = health.room(settings, in_flight.get(host, 0))
        if room:
            between = timedelta(seconds=1 / settings.host_limits_of(host).starts_per_s)
            rooms[host] = HostRoom(host, room, max(row["next_start_at"], row["moment"]), between)
    return rooms


def dispatch_images(
    connection: Connection,
    settings: IngestSettings,
    rooms: dict[str, HostRoom],
    images: Sequence[RowMapping],
) -> list[Started]:
    """Lease locked images (with `id`, `batch` and `host`), spread their starts and note what the hosts were asked."""
    if not images:
        return []
    taken: dict[str, int] = defaultdict(int)
    started = []
    for image in images:
        room = rooms[image["host"]]
        started.append(Started(image, room.first_start_at + taken[room.host] * room.between))
        taken[room.host] += 1
    values: dict[str, Any] = {
        "ids": [found.image["id"] for found in started],
        "starts": [found.start_at for found in started],
        "lease_s": settings.lease_s,
    }
    connection.execute(_DISPATCH, values)
    names = sorted(taken)
    values = {
        "hosts": names,
        "moments": [rooms[name].first_start_at + taken[name] * rooms[name].between for name in names],
        # From now on the images that end hand their places on.
        "full": [taken[name] >= rooms[name].room for name in names],
    }
    connection.execute(_PACE, values)
    values = {"batches": [image["batch"] for image in images], "hosts": [image["host"] for image in images]}
    connection.execute(_COUNT_REQUESTS, values)
    return started
