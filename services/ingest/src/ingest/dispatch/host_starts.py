"""Plans the starts of due images at their hosts, over all batches and instances, and leases the images.

Plans are made while the host's row is locked, so two claims cannot both plan the same start.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ingest.dispatch.pace import STEADY_LOOK_AHEAD_S, HostPace, Plan, effective_rate, plan_starts, task_images
from ingest.settings import IngestSettings
from ingest.state.hosts import FIRST_RATE, Asked, begin_at, note_starts
from ingest.state.images import dispatch_images
from ingest.state.locks import lock_hosts

_MAX_HOSTS = 1000  # looked at in one claim, those asked least recently first
_MAX_LOCKED = 100  # enough for a page even with one image each
_MAX_SHARERS = 50  # more batches than these count as these

# Not EXISTS, which would be planned as a join that reads every image of the batch.
_READY = text(
    """
    SELECT h.host FROM batch_hosts JOIN hosts AS h USING (host)
    WHERE batch_hosts.batch = :batch
      AND h.blocked_until < now() + make_interval(secs => :ahead_s)
      AND h.next_start_at < now() + make_interval(secs => :ahead_s)
      AND (SELECT true FROM images WHERE images.host = h.host AND images.batch = :batch
           AND images.status = 'PENDING' AND images.same_as IS NULL AND images.next_at <= now()
           AND (images.next_at, images.row_number)
               >= (CASE WHEN :from_start THEN '-infinity' ELSE batch_hosts.due_from END, batch_hosts.due_row)
           LIMIT 1)
    ORDER BY h.next_start_at, h.host
    LIMIT :limit
    """
)
# A statement of its own, after the lock: it sees what the holder before us has planned. A lease ends `lease_s` after
# the start of its image.
_LEASED = text(
    """
    SELECT host,
           count(*) FILTER (WHERE lease_until <= clock_timestamp() + make_interval(secs => :lease_s)) AS under_way,
           count(*) FILTER (WHERE lease_until > clock_timestamp() + make_interval(secs => :lease_s)) AS planned,
           count(*) FILTER (WHERE lease_until > clock_timestamp() + make_interval(secs => :lease_s)
                              AND batch = :batch) AS own,
           count(*) FILTER (WHERE batch = :batch) AS own_leased
    FROM images WHERE host = ANY(:hosts) AND status = 'DISPATCHED' GROUP BY host
    """
)
_SHARERS = text(
    """
    SELECT asked.host, sharing.batches FROM unnest(CAST(:hosts AS text[])) AS asked (host)
    CROSS JOIN LATERAL (
        SELECT count(*) AS batches FROM (
            SELECT 1 FROM batch_hosts JOIN batches ON request_id = batch
            WHERE batch_hosts.host = asked.host AND batches.finished_at IS NULL AND batches.status = 'PROCESSING'
              AND (SELECT true FROM images WHERE images.host = asked.host AND images.batch = batch_hosts.batch
                   AND images.status = 'PENDING' AND images.same_as IS NULL AND images.next_at <= now()
                   AND (images.next_at, images.row_number) >= (batch_hosts.due_from, batch_hosts.due_row) LIMIT 1)
            LIMIT :most) AS found) AS sharing
    """
)


@dataclass(frozen=True, slots=True)
class PlannedHost:
    """A locked host with the starts that are planned, and the moment from which they count.

    `task_images` is how many of its known images one task may carry.
    """

    plan: Plan
    moment: datetime
    task_images: int = 1

    def start_at(self, number: int) -> datetime:
        """Return the moment of a start, counted from 0."""
        return self.moment + timedelta(seconds=self.plan.starts[number])

    def next_after(self, count: int) -> datetime:
        """Return when the host may start the image after the first `count` planned ones."""
        plan = self.plan
        return self.moment + timedelta(seconds=plan.starts[count] if count < len(plan.starts) else plan.next_s)


@dataclass(frozen=True, slots=True)
class Started:
    """A due image, and when it may be fetched."""

    image: RowMapping
    start_at: datetime


def ready_hosts(
    connection: Connection, request_id: UUID, *, ahead_s: float | None, from_start: bool = False
) -> list[str]:
    """Return the hosts of a batch's due images at which starts may be planned: a guess without locks.

    `from_start` looks past what is known of where due images begin.
    """
    values = {
        "batch": request_id,
        "limit": _MAX_HOSTS,
        "ahead_s": ahead_s or STEADY_LOOK_AHEAD_S,
        "from_start": from_start,
    }
    return list(connection.execute(_READY, values).scalars())


def plan_hosts(
    connection: Connection,
    settings: IngestSettings,
    request_id: UUID,
    hosts: Sequence[str],
    *,
    ahead_s: float | None,
    most: int,
) -> dict[str, PlannedHost]:
    """Lock the first 100 hosts and plan starts for `ahead_s` seconds, None: as each host needs; return those with any.

    No host gets more than `most`, which is all that the claim can hand out.

    Raises:
        sqlalchemy.exc.OperationalError: another transaction held one of them for too long.
    """
    wanted = list(hosts[:_MAX_LOCKED])
    if not wanted:
        return {}
    locked = lock_hosts(connection, wanted)
    first = _first_rates(settings, locked)
    if first:
        begin_at(connection, first)
    values = {"hosts": wanted, "batch": request_id, "lease_s": settings.lease_s}
    leased = {row["host"]: row for row in connection.execute(_LEASED, values).mappings()}
    values = {"hosts": wanted, "most": _MAX_SHARERS}
    sharers = {row.host: row.batches for row in connection.execute(_SHARERS, values)}
    planned: dict[str, PlannedHost] = {}
    for host, row in locked.items():
        limits, counts = settings.host_limits_of(host), leased.get(host)
        pace = HostPace(
            rate=first.get(host, row["rate"]),
            next_s=row["next_s"],
            closed_s=row["blocked_s"],
            is_shut=row["is_shut"],
            is_steady=row["is_steady"],
            floor_s=None if row["floor_log_s"] is None else math.exp(row["floor_log_s"]),
            under_way=0 if counts is None else counts["under_way"],
            planned=0 if counts is None else counts["planned"],
            own=0 if counts is None else counts["own"],
            own_leased=0 if counts is None else counts["own_leased"],
            sharers=sharers[host],
        )
        plan = plan_starts(
            pace, max_rate=limits.starts_per_s, max_concurrency=limits.concurrency, ahead_s=ahead_s, most=most
        )
        if plan.starts:
            several = 1
            if row["usual_log_s"] is not None:
                rate = effective_rate(pace, max_rate=limits.starts_per_s, max_concurrency=limits.concurrency)
                several = task_images(rate=rate, first_byte_s=math.exp(row["usual_log_s"]))
            planned[host] = PlannedHost(plan, row["moment"], several)
    return planned


def _first_rates(settings: IngestSettings, locked: Mapping[str, RowMapping]) -> dict[str, float]:
    """Return the rates of hosts of which nothing is learned, where they differ from what their rows begin with."""
    rates = {}
    for host, row in locked.items():
        if row["floor_log_s"] is None and row["rate"] == FIRST_RATE:
            own = settings.own_limits_of(host)
            rate = settings.host_first_rate if own is None else own.starts_per_s
            if rate != FIRST_RATE:
                rates[host] = rate
    return rates


def assign_starts(planned: Mapping[str, PlannedHost], images: Sequence[RowMapping]) -> list[Started]:
    """Return images of planned hosts with their starts: the first of each host has the first one."""
    numbers: defaultdict[str, int] = defaultdict(int)
    assigned = []
    for image in images:
        host = image["host"]
        assigned.append(Started(image, planned[host].start_at(numbers[host])))
        numbers[host] += 1
    return assigned


def start_images(
    connection: Connection, settings: IngestSettings, planned: Mapping[str, PlannedHost], assigned: Sequence[Started]
) -> list[Started]:
    """Lease due images of a batch, the first of each host, from their planned starts on, and note what was planned.

    Images that somebody else holds or has ended are left out; the starts that were theirs pass unused.
    """
    if not assigned:
        return []
    chosen: defaultdict[str, list[Started]] = defaultdict(list)
    for each in assigned:
        chosen[each.image["host"]].append(each)
    leases = [(found.image["id"], found.image["attempt"], found.start_at) for each in chosen.values() for found in each]
    leased = dispatch_images(connection, leases, lease_s=settings.lease_s)
    asked = {
        host: Asked(
            images=sum(found.image["id"] in leased for found in each),
            next_start=planned[host].next_after(len(each)),
            first_due=(each[0].image["next_at"], each[0].image["row_number"]),
            waits_until=planned[host].start_at(0) if planned[host].plan.waits else None,
        )
        for host, each in chosen.items()
    }
    note_starts(connection, assigned[0].image["batch"], asked)
    return [each for each in assigned if each.image["id"] in leased]
