"""What is known of the hosts that images come from: how many images each may get, and how it has answered lately.

The state of a host follows from its row: it is OPEN or HALF_OPEN once so many attempts in a row met transient trouble
(a breaker), WAITING while it asked for patience (Retry-After), else CLOSED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, text

from chassis.logs import get_logger
from ingest.settings import IngestSettings

log = get_logger(__name__)


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

    def free_slots(self, settings: IngestSettings, in_flight: int) -> int:
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
_COUNT_SUCCESS = text(
    """
    UPDATE batch_hosts SET succeeded = succeeded + :images, bytes_in = bytes_in + :bytes_in,
                           bytes_out = bytes_out + :bytes_out
    WHERE batch = :batch AND host = :host
    """
)
_ANSWERED = text("UPDATE hosts SET failures = 0, opened_at = NULL WHERE host = :host AND failures > 0")
_NOTE_STARTS = text(
    """
    UPDATE hosts SET next_start_at = started.at, waiting = hosts.waiting OR started.is_full
    FROM unnest(CAST(:hosts AS text[]), CAST(:moments AS timestamptz[]), CAST(:full AS boolean[]))
         AS started (host, at, is_full)
    WHERE hosts.host = started.host
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
_NOBODY_WAITS = text("UPDATE hosts SET waiting = false WHERE host = :host AND waiting")
_LACKS_HOSTS = text(
    """
    SELECT NOT EXISTS (SELECT FROM batch_hosts WHERE batch = :batch)
        OR EXISTS (SELECT FROM batch_hosts LEFT JOIN hosts USING (host)
                   WHERE batch_hosts.batch = :batch AND hosts.next_start_at IS NULL)
    """
)
_ADD_BATCH_HOSTS = text(
    """
    INSERT INTO batch_hosts (batch, host, images)
    SELECT batch, host, count(*) FROM images WHERE batch = :batch GROUP BY batch, host
    ON CONFLICT DO NOTHING
    """
)
_COUNT_IMAGES = text(
    """
    INSERT INTO batch_hosts (batch, host, images)
    SELECT :batch, host, images FROM unnest(CAST(:hosts AS text[]), CAST(:counts AS integer[])) AS new (host, images)
    ON CONFLICT (batch, host) DO UPDATE SET images = batch_hosts.images + excluded.images
    """
)
_ADD_NAMED = text(
    "INSERT INTO hosts (host) SELECT host FROM unnest(CAST(:hosts AS text[])) AS new (host) ORDER BY host"
    " ON CONFLICT DO NOTHING"
)
# In order, so that two uploads with the same new hosts cannot wait for each other.
_ADD_HOSTS = text(
    "INSERT INTO hosts (host) SELECT host FROM batch_hosts WHERE batch = :batch ORDER BY host ON CONFLICT DO NOTHING"
)


def note_trouble(
    connection: Connection, settings: IngestSettings, request_id: UUID, host: str, *, retry_after_s: float | None
) -> None:
    """Count an attempt that met transient trouble; open the breaker when it was one too many.

    CLOSED | WAITING | HALF_OPEN → OPEN, or WAITING after a Retry-After. The caller holds the batch; locks the host.

    Args:
        connection: the transaction.
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
    """Take an attempt as a sign of life of a host: it gave an image, or an answer that ends the image for good.

    OPEN | HALF_OPEN → CLOSED. The caller holds the batch; locks the host.
    """
    if failures_before:
        connection.execute(_ANSWERED, {"host": host})
    if not succeeded:
        connection.execute(_COUNT_FAILURE, {"batch": request_id, "host": host})


def count_succeeded(
    connection: Connection, request_id: UUID, host: str, *, images: int, bytes_in: int, bytes_out: int
) -> None:
    """Count images of a batch that a host gave, with the bytes of their sources and of their outputs together.

    uncounted → counted; the host stays as it is. The caller holds the batch; locks the row of `batch_hosts`.
    """
    values = {"batch": request_id, "host": host, "images": images, "bytes_in": bytes_in, "bytes_out": bytes_out}
    connection.execute(_COUNT_SUCCESS, values)


def note_starts(
    connection: Connection,
    next_starts: Mapping[str, datetime],
    full: Mapping[str, bool],
    asked: Sequence[tuple[UUID, str]],
) -> None:
    """Note what hosts were asked and when the next image of each may start.

    free slots → taken slots; the images that end at a host that is full make way for those that wait. The caller holds
    the hosts; locks the rows of `batch_hosts`.

    Args:
        connection: the transaction.
        next_starts: by host, when the next image may start.
        full: by host, whether it has no free slot any more.
        asked: batch and host of each image.
    """
    hosts = sorted(next_starts)
    moments, is_full = [next_starts[host] for host in hosts], [full[host] for host in hosts]
    connection.execute(_NOTE_STARTS, {"hosts": hosts, "moments": moments, "full": is_full})
    values = {"batches": [batch for batch, _host in asked], "hosts": [host for _batch, host in asked]}
    connection.execute(_COUNT_REQUESTS, values)


def note_nobody_waits(connection: Connection, host: str) -> None:
    """Note that no due image waits for a slot of a host.

    waiting → not waiting. The caller holds the host.
    """
    connection.execute(_NOBODY_WAITS, {"host": host})


def add_hosts(connection: Connection, request_id: UUID, images: Mapping[str, int]) -> None:
    """Count the images that a batch has got of each host, and insert the hosts that are new.

    nothing → CLOSED. The caller holds the batch; locks the new hosts in the order of their names.
    """
    hosts = sorted(images)
    connection.execute(_ADD_NAMED, {"hosts": hosts})
    values = {"batch": request_id, "hosts": hosts, "counts": [images[host] for host in hosts]}
    connection.execute(_COUNT_IMAGES, values)


def add_missing_hosts(connection: Connection, request_id: UUID) -> None:
    """Give a batch the hosts it lacks: it came in through an older release, or while one of them was deleted.

    nothing → CLOSED. The caller holds the batch; locks the new hosts in the order of their names.
    """
    values = {"batch": request_id}
    if connection.execute(_LACKS_HOSTS, values).scalar_one():
        connection.execute(_ADD_BATCH_HOSTS, values)
        connection.execute(_ADD_HOSTS, values)
