"""The event a subscriber is told: built once per notification, kept as bytes, sent as it is. Pure.

The shape is workflows/contracts/webhook_event.schema.json. The first three keys are those of the first release.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from chassis.times import parse_rfc3339, rfc3339

FINAL_EVENT_TYPES = {
    "COMPLETED": "batch.completed",
    "COMPLETED_WITH_ERRORS": "batch.completed_with_errors",
    "FAILED": "batch.failed",
    "CANCELLED": "batch.cancelled",
}
"""The event of each final status; the URLs of a batch and of the deployment are told these only."""

EVENT_TYPES = {"PENDING": "batch.accepted", "PROCESSING": "batch.started", **FINAL_EVENT_TYPES}
"""The event of each status that is one; endpoints may subscribe to all of them."""

TEST_EVENT_TYPE = "batch.test"
"""Sent on request, whatever an endpoint has subscribed to; no batch stands behind it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The images of a batch by state; `pending + succeeded + failed == total`."""

    total: int
    pending: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class Notice:
    """What has become of a batch, as the workflow or ingest tells it.

    `finished_at` is RFC 3339 text or None; `download_url` is None when there is no report; `owner` is None for a batch
    of nobody's.
    """

    request_id: str
    generation: int
    status: str
    message: str
    counts: Counts
    finished_at: str | None
    webhook_url: str | None
    download_url: str | None
    owner: str | None = None


def event_type(notice: Notice) -> str:
    """Return e.g. `batch.completed`.

    Raises:
        KeyError: the status is no event.
    """
    return EVENT_TYPES[notice.status]


def event_body(notice: Notice, *, now: datetime) -> bytes:
    """Return the event as UTF-8 JSON; its time is that of the batch's end, else `now` (aware)."""
    return _body(notice, event_type(notice), _event_time(notice.finished_at, now))


def sample_event_body(request_id: str, *, now: datetime) -> bytes:
    """Return an event of the same shape as any other, about a batch that does not exist."""
    notice = Notice(
        request_id=request_id,
        generation=1,
        status="COMPLETED",
        message="This is a test; there is no such batch.",
        counts=Counts(total=0, pending=0, succeeded=0, failed=0),
        finished_at=None,
        webhook_url=None,
        download_url=None,
    )
    return _body(notice, TEST_EVENT_TYPE, rfc3339(now))


def _body(notice: Notice, type_: str, timestamp: str) -> bytes:
    event = {
        "request_id": notice.request_id,
        "status": notice.status,
        "message": notice.message,
        "type": type_,
        "timestamp": timestamp,
        "data": {
            "request_id": notice.request_id,
            "generation": notice.generation,
            "status": notice.status,
            "counts": {
                "total": notice.counts.total,
                "pending": notice.counts.pending,
                "succeeded": notice.counts.succeeded,
                "failed": notice.counts.failed,
            },
            "finished_at": notice.finished_at,
            "download_url": notice.download_url,
        },
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def _event_time(finished_at: str | None, now: datetime) -> str:
    if finished_at is None:
        return rfc3339(now)
    try:
        return rfc3339(parse_rfc3339(finished_at))
    except ValueError:
        return rfc3339(now)
