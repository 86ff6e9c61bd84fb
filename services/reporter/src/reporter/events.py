"""The event a subscriber is told: built once per notification, kept as bytes, sent as it is. Pure.

The shape is workflows/contracts/webhook_event.schema.json. The first three keys are those of the first release.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

EVENT_TYPES = {
    "COMPLETED": "batch.completed",
    "COMPLETED_WITH_ERRORS": "batch.completed_with_errors",
    "FAILED": "batch.failed",
    "CANCELLED": "batch.cancelled",
}
"""The event of each final status; other statuses are no events."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The images of a batch by state; `pending + succeeded + failed == total`."""

    total: int
    pending: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a batch ended, as the workflow or ingest's sweeper tells it.

    `finished_at` is RFC 3339 text or None; `download_url` is None when there is no report.
    """

    request_id: str
    generation: int
    status: str
    message: str
    counts: Counts
    finished_at: str | None
    webhook_url: str | None
    download_url: str | None


def event_type(ending: Ending) -> str:
    """Return e.g. `batch.completed`.

    Raises:
        KeyError: the status is not final.
    """
    return EVENT_TYPES[ending.status]


def event_body(ending: Ending, *, now: datetime) -> bytes:
    """Return the event as UTF-8 JSON; its time is that of the ending, else `now` (aware)."""
    event = {
        "request_id": ending.request_id,
        "status": ending.status,
        "message": ending.message,
        "type": event_type(ending),
        "timestamp": _event_time(ending.finished_at, now),
        "data": {
            "request_id": ending.request_id,
            "generation": ending.generation,
            "status": ending.status,
            "counts": {
                "total": ending.counts.total,
                "pending": ending.counts.pending,
                "succeeded": ending.counts.succeeded,
                "failed": ending.counts.failed,
            },
            "finished_at": ending.finished_at,
            "download_url": ending.download_url,
        },
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def rfc3339(time: datetime) -> str:
    """Return e.g. `2026-11-22T10:42:04.123Z` for an aware time."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event_time(finished_at: str | None, now: datetime) -> str:
    if finished_at is None:
        return rfc3339(now)
    try:
        parsed = datetime.fromisoformat(finished_at)
    except ValueError:
        return rfc3339(now)
    return rfc3339(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
