"""The task of one attempt: its name, what the compressor is sent, and the request that creates it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.google.tasks import TaskQueue
from chassis.times import rfc3339
from chassis.tracing import carrying, work_context
from ingest.dispatch.host_starts import Started
from ingest.settings import IngestSettings

TRACED_IMAGES = 100
"""Images of a batch, about, whose tasks are recorded in its trace: one of a million spans would help nobody."""

COMPRESSION_DEADLINE_S = 120
"""Seconds that the compressor has for a task; its time-out in Cloud Run."""


@dataclass(frozen=True, slots=True)
class ClaimedImage:
    """One image with the task that is to be made for it, and the moment at which that may run."""

    row_number: int
    task_id: str
    start_at: datetime
    payload: dict[str, Any]
    traced: bool = False

    @property
    def request_id(self) -> UUID:
        """Return the batch."""
        return UUID(self.payload["request_id"])

    @property
    def lease(self) -> str:
        """Return which attempt of which image is leased, as `image/attempt`."""
        return f"{self.payload['image_id']}/{self.payload['attempt']}"

    def task_request(self, settings: IngestSettings) -> dict[str, Any]:
        """Return the JSON of `CreateTaskRequest` for this image.

        Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create
        """
        return {
            "parent": settings.images_queue,
            "task": {
                "name": f"{settings.images_queue}/tasks/{self.task_id}",
                "scheduleTime": rfc3339(self.start_at),
                "dispatchDeadline": f"{COMPRESSION_DEADLINE_S}s",
                "httpRequest": {
                    "url": _compress_url(settings),
                    "httpMethod": "POST",
                    "headers": {
                        "Content-Type": "application/json",
                        **work_context(self.request_id, under="workflow", sampled=self.traced).headers(),
                    },
                    "body": base64.b64encode(json.dumps(self.payload).encode()).decode(),
                    "oidcToken": {
                        "serviceAccountEmail": settings.compressor_tasks_service_account,
                        "audience": settings.compressor_url,
                    },
                },
            },
        }


def task_id(request_id: UUID, image_id: UUID, attempt: int) -> str:
    """Return the task's name: the same for a repeat, another for each attempt, well spread as Cloud Tasks advises."""
    return hashlib.sha256(f"{request_id}/{image_id}/{attempt}".encode()).hexdigest()


def claimed_image(
    started: Started,
    request_id: UUID,
    options: Mapping[str, Any],
    known: Mapping[str, Any] | None = None,
    *,
    traced: bool = False,
) -> ClaimedImage:
    """Return a leased image as its task will carry it.

    Args:
        started: the image.
        request_id: its batch.
        options: the batch's; the image's own come first.
        known: what an earlier batch found behind its URL.
        traced: whether what is done for it is recorded in the batch's trace.
    """
    image = started.image
    image_id, attempt = image["id"], image["attempt"] + 1
    payload = {
        "request_id": str(request_id),
        "image_id": str(image_id),
        "attempt": attempt,
        "url": image["input_url"],
        "options": dict(image["options"] or options),
    }
    if known is not None:
        payload["known"] = dict(known)
    name = task_id(request_id, image_id, attempt)
    return ClaimedImage(image["row_number"], name, started.start_at, payload, traced)


def create_compression(tasks: TaskQueue, settings: IngestSettings, image: ClaimedImage) -> None:
    """Create the task that compresses a claimed image, as the workflow does it.

    Raises:
        ApiError: 503 TASKS_UNAVAILABLE.
    """
    with carrying(image.request_id, under="workflow", sampled=image.traced):
        tasks.create(
            settings.images_queue,
            image.task_id,
            url=_compress_url(settings),
            audience=settings.compressor_url,
            body=image.payload,
            dispatch_deadline_s=COMPRESSION_DEADLINE_S,
            start_at=image.start_at,
        )


def _compress_url(settings: IngestSettings) -> str:
    return f"{settings.compressor_url.rstrip('/')}/compress"
