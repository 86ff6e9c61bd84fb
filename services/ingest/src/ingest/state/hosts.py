"""What we know of the hosts that images come from: how much each may take, and how it has answered lately.

The state of a host is a function of its row: it is OPEN or HALF_OPEN once so many attempts in a row met transient
trouble (a breaker), WAITING while it asked for patience (Retry-After), else CLOSED. Lock order: batch, hosts in the
order of their names, images, `batch_hosts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from chassis.logs import get_logger
from chassis.times import rfc3339
from ingest.settings import IngestSettings

log = get_logger(__name__)

MAX_LISTED_HOSTS = 100
"""Most hosts that the status of a batch lists, those in trouble first."""


class HostState(StrEnum):
    """CLOSED: images are fetched. WAITING: it asked us to. OPEN: it fails. HALF_OPEN: one image tries it again."""

    CLOSED = "CLOSED"
    WAITING = "WAITING"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class HostHealth:
    """A host's failures in a row, and the seconds until it may be asked again (<= 0: now)."""

    host: str
    failures: int
    blocked_s: float

    def state(self, settings: IngestSettings) -> HostState:
        """Return the state; what a changed threshold changes, it changes at once."""
        if self.failures >= settings.host_failures:
            return HostState.OPEN if self.blocked_s > 0 else HostState.HALF_OPEN
        return HostState.WAITING if self.blocked_s > 0 else HostState.CLOSED

    def room(self, settings: IngestSettings, in_flight: int) -> int:
        """Return how many more of its images may be dispatched now, `in_flight` being counted over all batches."""
        match self.state(settings):
            case HostState.CLOSED:
                return max(0, settings.host_limits_of(self.host).concurrency - in_flight)
            case HostState.HALF_OPEN:
                return max(0, 1 - in_flight)
            case _:
                return 0


# Of trouble that was reported while the breaker was open only a Retry-After counts: those attempts began before.
_TROUBLE = text(
    """
    UPDATE hosts SET
        failures = CASE WHEN failures >= :threshold AND blocked_until > now() THEN failures ELSE failures + 1 END,
        opened_at = CASE WHEN failures + 1 < :threshold THEN NULL
                         WHEN failures < :threshold THEN now() ELSE coalesce(opened_at, now()) END,
        blocked_until = greatest(
            blocked_until,
            now() + make_interval(secs => :retry_after_s),
            CASE WHEN failures + 1 >= :threshold AND NOT (failures >= :threshold AND blocked_until > now())
                 THEN now() + make_interval(secs => least(
                     CAST(:max_s AS float), :pause_s * 2.0 ^ least(failures + 1 - :threshold, 20))) END)
    WHERE host = :host
    RETURNING failures, opened_at = now() AS just_opened
    """
)
_COUNT_FAILURE = text("UPDATE batch_hosts SET failures = failures + 1 WHERE batch = :batch AND host = :host")
_ANSWERED = text("UPDATE hosts SET failures = 0, opened_at = NULL WHERE host = :host AND failures > 0")
_LISTED = text(
    """
    SELECT b.host, b.images, b.requests, b.failures, coalesce(h.failures, 0) AS in_a_row, h.blocked_until,
           coalesce(extract(epoch FROM h.blocked_until - now())::float, 0) AS blocked_s, count(*) OVER () AS hosts
    FROM batch_hosts b LEFT JOIN hosts h USING (host)
    WHERE b.batch = :batch
    ORDER BY (h.failures >= :threshold) DESC NULLS LAST, (h.blocked_until > now()) DESC NULLS LAST,
             b.failures DESC, b.images DESC, b.host
    LIMIT :limit
    """
)


def note_trouble(
    connection: Connection, settings: IngestSettings, request_id: UUID, host: str, *, retry_after_s: float | None
) -> None:
    """Count an attempt that met transient trouble; open the breaker when it was one too many.

    Args:
        connection: its transaction holds the batch.
        settings: threshold, pauses and the longest wait.
        request_id: the batch whose image was tried.
        host: of that image.
        retry_after_s: what the host asked for, seconds; at most `retry_max_s` are granted.
    """
    values = {
        "host": host,
        "threshold": settings.host_failures,
        "pause_s": settings.host_pause_s,
        "max_s": settings.retry_max_s,
        "retry_after_s": min(retry_after_s or 0.0, settings.retry_max_s),
    }
    noted = connection.execute(_TROUBLE, values).mappings().first()
    connection.execute(_COUNT_FAILURE, {"batch": request_id, "host": host})
    if noted is not None and noted["just_opened"]:
        log.warning("host.opened", host=host, failures=noted["failures"])


def note_answer(connection: Connection, request_id: UUID, host: str, *, succeeded: bool, failures_before: int) -> None:
    """Take an attempt as a sign of life of a host: it gave an image, or an answer that ends the image for good."""
    if failures_before:
        connection.execute(_ANSWERED, {"host": host})
    if not succeeded:
        connection.execute(_COUNT_FAILURE, {"batch": request_id, "host": host})


def list_hosts(connection: Connection, settings: IngestSettings, request_id: UUID) -> dict[str, Any]:
    """Return `hosts` and `host_count` of a batch; requests and failures are its own, the state is everybody's."""
    values = {"batch": request_id, "threshold": settings.host_failures, "limit": MAX_LISTED_HOSTS}
    found = connection.execute(_LISTED, values).mappings().all()
    hosts = []
    for row in found:
        state = HostHealth(row["host"], row["in_a_row"], row["blocked_s"]).state(settings)
        hosts.append(
            {
                "host": row["host"],
                "state": state.value,
                "images": row["images"],
                "requests": row["requests"],
                "failures": row["failures"],
                "until": rfc3339(row["blocked_until"]) if row["blocked_s"] > 0 else None,
            }
        )
    return {"hosts": hosts, "host_count": found[0]["hosts"] if found else 0}
