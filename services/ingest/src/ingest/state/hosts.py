"""What is learned of the hosts that images come from: how fast each may be asked, and how it has answered lately.

The rule is the function `pace_after` of the database; here it is given the answers. The state of a host follows from
its row: it is OPEN or HALF_OPEN while it is shut, WAITING while starts pause, else CLOSED.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def host_state(*, is_shut: bool, blocked_s: float) -> HostState:
    """Return the state of a host; `blocked_s` are the seconds until an image may start (<= 0: now)."""
    if is_shut:
        return HostState.OPEN if blocked_s > 0 else HostState.HALF_OPEN
    return HostState.WAITING if blocked_s > 0 else HostState.CLOSED


def learned_rate(settings: IngestSettings, host: str, rate: float, floor_s: float | None) -> float:
    """Return how many images of a host may start in a second, within its limits; `floor_s` as far as it is known."""
    limits = settings.host_limits_of(host)
    bounded = min(rate, limits.starts_per_s)
    return bounded if floor_s is None else min(bounded, limits.concurrency / max(floor_s, 0.001))


class AnswerKind(StrEnum):
    """What an attempt says of its host: an answer, a refusal of more, trouble that may pass, or no answer at all."""

    GOOD = "good"
    REFUSED = "refused"
    TROUBLE = "trouble"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """How a host answered an attempt.

    Args:
        kind: what it says of the host.
        first_byte_s: seconds to the first byte; None when unknown.
        started_at: when the image was to start.
        retry_after_s: what the host asked for.
    """

    kind: AnswerKind
    first_byte_s: float | None
    started_at: datetime
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a claim asked of a host.

    Args:
        images: of the batch, that were leased.
        next_start: when the next image of the host may start.
        first_due: `next_at` and row of the first image of the batch and the host that was found due.
        waits_until: the first start of a host that was given time to get done what it has; else None.
    """

    images: int
    next_start: datetime
    first_due: tuple[datetime, int]
    waits_until: datetime | None = None


FIRST_RATE = 5.0
"""Images a second that a host is asked for of which nothing is known; the default of the column `rate`."""

_SETTLED_S = 60.0
"""Seconds after which no transaction that began before is at work any more."""

UPDATES_PER_S = 40
"""Good answers a second that update a host's row at most; above, some stand for all."""

PACE_COLUMNS = (
    "rate, next_start_at, judged_from, sampled, sample_log_s, sample_square, floor_log_s, ceiling, trouble, "
    "calm_until, blocked_until, failures, opened_at, refuses"
)
"""What an answer may change."""

# The function is told of a good answer of unknown latency as of one that took as long as ever.
_LEARN = text(
    f"""
    UPDATE hosts SET ({PACE_COLUMNS}) = (
        SELECT {PACE_COLUMNS}
        FROM pace_after(hosts, clock_timestamp(), :started_at, :kind,
                        coalesce(CAST(:first_byte_s AS float8), exp(hosts.floor_log_s), 0.2),
                        CAST(:retry_after_s AS float8), 1, :max_rate))
    WHERE host = :host
    RETURNING failures, opened_at IS NOT NULL AS is_shut,
              extract(epoch FROM blocked_until - clock_timestamp())::float AS blocked_s
    """
)
_BEGIN = text(
    """
    UPDATE hosts SET rate = known.rate
    FROM unnest(CAST(:hosts AS text[]), CAST(:rates AS float8[])) AS known (host, rate)
    WHERE hosts.host = known.host
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
_NOTE_STARTS = text(
    """
    UPDATE hosts SET next_start_at = started.next_at
    FROM unnest(CAST(:hosts AS text[]), CAST(:moments AS timestamptz[])) AS started (host, next_at)
    WHERE hosts.host = started.host
    """
)
# After a cut, as long as the host is left in peace: what waits there since before it says nothing of the new rate.
_JUDGE_LATER = text(
    """
    UPDATE hosts SET judged_from = waiting.until, sampled = 0, sample_log_s = 0, sample_square = 0
    FROM unnest(CAST(:hosts AS text[]), CAST(:moments AS timestamptz[])) AS waiting (host, until)
    WHERE hosts.host = waiting.host AND judged_from < waiting.until AND calm_until > clock_timestamp()
    """
)
# Due images of the host begin with the first one that was found. What comes back to wait gets a time that is not long
# before the present, so nothing that is due only since then is passed over.
_COUNT_REQUESTS = text(
    """
    UPDATE batch_hosts SET
        requests = requests + asked.images,
        due_from = least(asked.next_at, now() - make_interval(secs => :settled_s)),
        due_row = CASE WHEN asked.next_at < now() - make_interval(secs => :settled_s)
                       THEN asked.row_number ELSE 0 END
    FROM unnest(CAST(:hosts AS text[]), CAST(:images AS integer[]), CAST(:moments AS timestamptz[]),
                CAST(:rows AS integer[])) AS asked (host, images, next_at, row_number)
    WHERE batch_hosts.batch = :batch AND batch_hosts.host = asked.host
    """
)
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


def learn_of_host(connection: Connection, settings: IngestSettings, host: str, answer: HostAnswer) -> float:
    """Let a host's pace follow an answer; return for how many seconds no image may start there, 0.0 when one may.

    any state → any state. The caller holds the batch; locks the host.

    Args:
        connection: the transaction.
        settings: bounds of the rate, and the longest wait that a host may ask for.
        host: that was asked.
        answer: how it answered.
    """
    retry_after_s = None if answer.retry_after_s is None else min(answer.retry_after_s, settings.retry_max_s)
    values = {
        "host": host,
        "kind": answer.kind.value,
        "first_byte_s": answer.first_byte_s,
        "started_at": answer.started_at,
        "retry_after_s": retry_after_s,
        "max_rate": settings.host_limits_of(host).starts_per_s,
    }
    learned = connection.execute(_LEARN, values).mappings().first()
    if learned is None:
        return 0.0
    if learned["is_shut"] and learned["failures"] == 2 and answer.kind is not AnswerKind.GOOD:
        log.warning("host.opened", host=host, kind=answer.kind.value)
    return float(max(0.0, learned["blocked_s"]))


def begin_at(connection: Connection, rates: Mapping[str, float]) -> None:
    """Let hosts of which nothing is learned begin at rates that somebody knows.

    CLOSED → CLOSED, at another rate. The caller holds the hosts.
    """
    connection.execute(_BEGIN, {"hosts": list(rates), "rates": list(rates.values())})


def count_failure(connection: Connection, request_id: UUID, host: str) -> None:
    """Count an attempt of a batch that brought no image of a host.

    uncounted → counted; the host stays as it is. The caller holds the batch; locks the row of `batch_hosts`.
    """
    connection.execute(_COUNT_FAILURE, {"batch": request_id, "host": host})


def count_succeeded(
    connection: Connection, request_id: UUID, host: str, *, images: int, bytes_in: int, bytes_out: int
) -> None:
    """Count images of a batch that a host gave, with the bytes of their sources and of their outputs together.

    uncounted → counted; the host stays as it is. The caller holds the batch; locks the row of `batch_hosts`.
    """
    values = {"batch": request_id, "host": host, "images": images, "bytes_in": bytes_in, "bytes_out": bytes_out}
    connection.execute(_COUNT_SUCCESS, values)


def note_starts(connection: Connection, request_id: UUID, asked: Mapping[str, Asked]) -> None:
    """Note what a claim asked of hosts, by their names.

    planned → taken starts. The caller holds the hosts; locks the rows of `batch_hosts`.
    """
    hosts = sorted(asked)
    found = [asked[host] for host in hosts]
    connection.execute(_NOTE_STARTS, {"hosts": hosts, "moments": [each.next_start for each in found]})
    waited = {host: asked[host].waits_until for host in hosts if asked[host].waits_until is not None}
    if waited:
        connection.execute(_JUDGE_LATER, {"hosts": list(waited), "moments": list(waited.values())})
    values = {
        "batch": request_id,
        "hosts": hosts,
        "images": [each.images for each in found],
        "moments": [each.first_due[0] for each in found],
        "rows": [each.first_due[1] for each in found],
        "settled_s": _SETTLED_S,
    }
    connection.execute(_COUNT_REQUESTS, values)


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
