"""The body of a webhook as a model, for the OpenAPI document: workflows/contracts/webhook_event.schema.json."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

_ID = "6b1f2d3e-0000-4000-8000-000000000001"
_STATUS = {
    "batch.accepted": "PENDING",
    "batch.started": "PROCESSING",
    "batch.completed": "COMPLETED",
    "batch.completed_with_errors": "COMPLETED_WITH_ERRORS",
    "batch.failed": "FAILED",
    "batch.cancelled": "CANCELLED",
    "batch.test": "COMPLETED",
}

Status = Literal["PENDING", "PROCESSING", "SEALING", "COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"]


class EventCounts(BaseModel):
    """The images of the batch by state."""

    total: int = Field(ge=0)
    pending: int = Field(ge=0)
    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)


class EventData(BaseModel):
    """What has become of the batch."""

    request_id: str
    generation: int = Field(ge=1)
    status: Status
    counts: EventCounts
    finished_at: str | None
    download_url: str | None


class EventBody(BaseModel):
    """What a subscriber is sent, with the headers webhook-id, webhook-timestamp and webhook-signature."""

    request_id: str
    status: Status
    message: str
    type: str = Field(description="The event, e.g. batch.completed")
    timestamp: str
    data: EventData


def event_example(event_type: str) -> dict[str, Any]:
    """Return a body of an event."""
    status = _STATUS[event_type]
    is_over = event_type not in {"batch.accepted", "batch.started"}
    ended = "2026-11-29T10:00:09.000000Z" if is_over else None
    return {
        "request_id": _ID,
        "status": status,
        "message": f"Batch {status}",
        "type": event_type,
        "timestamp": "2026-11-29T10:00:09.000000Z",
        "data": {
            "request_id": _ID,
            "generation": 1,
            "status": status,
            "counts": {"total": 2, "pending": 0 if is_over else 2, "succeeded": 2 if is_over else 0, "failed": 0},
            "finished_at": ended,
            "download_url": f"https://reporter.example/reports/{_ID}/output.csv" if is_over else None,
        },
    }
