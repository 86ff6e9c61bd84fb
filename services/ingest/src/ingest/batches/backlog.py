"""How long what is due waits for its turn, and the refusal of new batches while that is too long.

What waits for its turn is a batch without an execution, or a task in the queue `images` whose time has come. Images
that wait for their host are not meant, however many: another owner's images do not wait behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from chassis.limits import over_limit_facts
from ingest.errors import ApiError, Reason, Status
from ingest.settings import IngestSettings

RETRY_AFTER_S = 60
"""Seconds after which a refused upload may be tried again."""

LOST_TASKS = 10
"""Tasks whose worker may have died: so many of the oldest say nothing of the others."""

DUE_FOR_S = 30.0
"""Seconds after its time for which a task is not counted: most have an outcome by then."""

_MEASURED_FOR_S = 15.0

# A lease ends `lease_s` after the time of its task.
_BACKLOG = text(
    """
    WITH waiting AS MATERIALIZED (
        SELECT extract(epoch FROM now() - lease_until)::float + :lease_s AS due_s FROM images
        WHERE status = 'DISPATCHED' AND lease_until <= now() + make_interval(secs => :lease_s - :due_for_s))
    SELECT coalesce((SELECT extract(epoch FROM now() - min(created_at))::float FROM batches
                     WHERE finished_at IS NULL AND started_at IS NULL AND pending > 0 AND status <> 'IMPORTING'), 0)
               AS start_s,
           coalesce((SELECT due_s FROM waiting ORDER BY due_s DESC OFFSET :lost LIMIT 1), 0) AS task_s,
           coalesce(((SELECT count(*) FROM waiting) - :lost)
                    / nullif((SELECT sum(images_per_s) FROM batches
                              WHERE finished_at IS NULL AND status = 'PROCESSING'
                                AND measured_at > now() - make_interval(secs => :measured_for_s)), 0), 0) AS work_s
    """
)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Seconds for which what is due waits.

    Args:
        start_s: the oldest batch, for its execution.
        task_s: the oldest task of an image, but for a few that may be lost.
        work_s: what the tasks that wait will take at the rate at which images end now; 0 while none ends.
    """

    start_s: float
    task_s: float
    work_s: float


def read_backlog(connection: Connection, settings: IngestSettings) -> Backlog:
    """Return how long what is due waits now."""
    values = {
        "lease_s": float(settings.lease_s),
        "due_for_s": DUE_FOR_S,
        "lost": LOST_TASKS,
        "measured_for_s": _MEASURED_FOR_S,
    }
    return Backlog(**connection.execute(_BACKLOG, values).mappings().one())


def check_backlog(connection: Connection, settings: IngestSettings) -> None:
    """Refuse a new batch while what is due waits too long: the honest answer of a full queue.

    Raises:
        ApiError: 503 BACKLOG_TOO_OLD.
    """
    backlog = read_backlog(connection, settings)
    reasons = (
        (backlog.start_s, "The oldest batch has waited {:.0f} s for its start"),
        (backlog.task_s, "The oldest images have waited {:.0f} s for a compressor"),
        (backlog.work_s, "The images that wait for a compressor will take {:.0f} s"),
    )
    waits_s, reason = max(reasons)
    if waits_s > settings.max_backlog_s:
        raise ApiError(
            Status.UNAVAILABLE,
            Reason.BACKLOG_TOO_OLD,
            f"{reason.format(waits_s)}; above {settings.max_backlog_s} s no more batches are taken.",
            metadata=over_limit_facts("max_backlog_s", limit=settings.max_backlog_s, value=round(waits_s)),
            retry_after_s=RETRY_AFTER_S,
        )
