"""The task of one attempt: its name and what the compressor is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.google.tasks import TaskQueue
from chassis.times import rfc3339
from ingest.dispatch.host_slots import Started
from ingest.settings import IngestSettings

_COMPRESSION_DEADLINE_S = 120


@dataclass(frozen=True, slots=True)
class ClaimedImage:
    """One image with the task that is to be made for it, and the moment at which that may run."""

    row_number: int
    task_id: str
    start_at: datetime
    payload: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the form of an image in workflows/contracts/claim_response.schema.json."""
        return {"task_id": self.task_id, "start_at": rfc3339(self.start_at), "payload": self.payload}


def task_id(request_id: UUID, image_id: UUID, attempt: int) -> str:
    """Return the task's name: the same for a repeat, another for each attempt, well spread as Cloud Tasks advises."""
    return hashlib.sha256(f"{request_id}/{image_id}/{attempt}".encode()).hexdigest()


def claimed_image(started: Started, request_id: UUID, options: Mapping[str, Any]) -> ClaimedImage:
    """Return a leased image as its task will carry it; `options` are the batch's, its own come first."""
    image = started.image
    image_id, attempt = image["id"], image["attempt"] + 1
    payload = {
        "request_id": str(request_id),
        "image_id": str(image_id),
        "attempt": attempt,
        "url": image["input_url"],
        "options": dict(image["options"] or options),
    }
    return ClaimedImage(image["row_number"], task_id(request_id, image_id, attempt), started.start_at, payload)


def create_compression(tasks: TaskQueue, settings: IngestSettings, image: ClaimedImage) -> None:
    """Create the task that compresses a claimed image, as the workflow does it.

    Raises:
        ApiError: 503 TASKS_UNAVAILABLE.
    """
    tasks.create(
        settings.images_queue,
        image.task_id,
        url=f"{settings.compressor_url.rstrip('/')}/compress",
        audience=settings.compressor_url,
        body=image.payload,
        dispatch_deadline_s=_COMPRESSION_DEADLINE_S,
        start_at=image.start_at,
    )
