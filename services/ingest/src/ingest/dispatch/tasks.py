"""The tasks of attempts: their names, what the compressor is sent, and the requests that create them.

A task carries one image. Known images of one host, of which nearly all are as they were, share one: to be sent
and told about costs more than to ask for a picture that has not changed. They are asked for one after the other, at the
pace of their host, and only as many as are asked for within `SHARED_TASK_S`. Whatever was tried before has a task of
its own, so that no image suffers twice from another one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.google.tasks import TaskQueue
from chassis.times import rfc3339
from chassis.tracing import carrying, work_context
from ingest.dispatch.host_starts import Started
from ingest.dispatch.pace import SHARED_TASK_S
from ingest.settings import IngestSettings

TRACED_IMAGES = 100
"""Images of a batch, about, whose tasks are recorded in its trace: one of a million spans would help nobody."""

_SEPARATOR_BYTES = 10  # of an entry in each of two lists, and a longer time
_MORE_BYTES = 64  # what says that a task carries several images

COMPRESSION_DEADLINE_S = 120
"""Seconds that the compressor has for a task; its time-out in Cloud Run."""


@dataclass(frozen=True, slots=True)
class ClaimedImage:
    """One leased image, and the moment from which it may be fetched; `payload` is what a task of its own carries."""

    row_number: int
    host: str
    start_at: datetime
    payload: dict[str, Any]
    traced: bool = False

    @property
    def lease(self) -> str:
        """Return which attempt of which image is leased, as `image/attempt`."""
        return f"{self.payload['image_id']}/{self.payload['attempt']}"

    @property
    def may_share(self) -> bool:
        """Return whether a task may carry it with others."""
        return "known" in self.payload and self.payload["attempt"] == 1


@dataclass(frozen=True, slots=True)
class ImageTask:
    """A task with the images that it carries, in the order in which they are asked for."""

    images: Sequence[ClaimedImage]

    @property
    def row_number(self) -> int:
        """Return the row of the first image."""
        return self.images[0].row_number

    @property
    def task_id(self) -> str:
        """Return its name: that of the attempt at the first image, which no other task carries."""
        first = self.images[0].payload
        return task_id(UUID(first["request_id"]), UUID(first["image_id"]), first["attempt"])

    @property
    def leases(self) -> str:
        """Return what is leased, as `image/attempt+image/attempt`."""
        return "+".join(image.lease for image in self.images)

    @property
    def payload(self) -> dict[str, Any]:
        """Return the body of the task: workflows/contracts/compress_request.schema.json."""
        first, *others = self.images
        if not others:
            return first.payload
        span_s = (others[-1].start_at - first.start_at).total_seconds()
        more = [_without_shared(image.payload) for image in others]
        return {**first.payload, "more": more, "interval_s": round(max(0.0, span_s) / len(others), 4)}

    def request(self, settings: IngestSettings) -> dict[str, Any]:
        """Return the JSON of the `CreateTaskRequest`.

        Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create
        """
        first = self.images[0]
        return {
            "parent": settings.images_queue,
            "task": {
                "name": f"{settings.images_queue}/tasks/{self.task_id}",
                "scheduleTime": rfc3339(first.start_at),
                "dispatchDeadline": f"{COMPRESSION_DEADLINE_S}s",
                "httpRequest": {
                    "url": _compress_url(settings),
                    "httpMethod": "POST",
                    "headers": {
                        "Content-Type": "application/json",
                        **work_context(
                            UUID(first.payload["request_id"]), under="workflow", sampled=first.traced
                        ).headers(),
                    },
                    "body": base64.b64encode(json.dumps(self.payload).encode()).decode(),
                    "oidcToken": {
                        "serviceAccountEmail": settings.compressor_tasks_service_account,
                        "audience": settings.compressor_url,
                    },
                },
            },
        }


class TaskList:
    """Puts claimed images into tasks, one after the other.

    Args:
        task_images: by host, how many of its known images one task may carry.
    """

    def __init__(self, task_images: Mapping[str, int]) -> None:
        self._task_images = task_images
        self._tasks: list[list[ClaimedImage]] = []
        self._open: dict[tuple[str, str], list[ClaimedImage]] = {}

    def add(self, image: ClaimedImage) -> int:
        """Put an image into a task that is there, or into a new one; return how many that task had before."""
        if not image.may_share:
            self._tasks.append([image])
            return 0
        key = (image.host, json.dumps(image.payload["options"], sort_keys=True))
        found = self._open.get(key)
        if found is None or not self._has_room(found, image):
            found = self._open[key] = []
            self._tasks.append(found)
        found.append(image)
        return len(found) - 1

    def tasks(self) -> list[ImageTask]:
        """Return the tasks, in the order of their first images."""
        return [ImageTask(images) for images in self._tasks]

    def _has_room(self, found: Sequence[ClaimedImage], image: ClaimedImage) -> bool:
        late_s = (image.start_at - found[0].start_at).total_seconds()
        return len(found) < self._task_images.get(image.host, 1) and late_s <= SHARED_TASK_S


def page_bytes(settings: IngestSettings, image: ClaimedImage, before: int) -> int:
    """Return how many bytes of JSON an image takes in a page, at most.

    Args:
        settings: of the queue and the compressor.
        image: that is put into a task.
        before: images that the task has already.
    """
    if before == 0:
        return len(json.dumps(ImageTask([image]).request(settings))) + len(image.lease) + _SEPARATOR_BYTES
    base64_bytes = len(json.dumps(_without_shared(image.payload))) * 4 // 3 + 4
    return base64_bytes + len(image.lease) + (_MORE_BYTES if before == 1 else 0)


def _without_shared(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: payload[name] for name in ("image_id", "attempt", "url", "known")}


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
    return ClaimedImage(image["row_number"], image["host"], started.start_at, payload, traced)


def create_task(tasks: TaskQueue, settings: IngestSettings, task: ImageTask) -> None:
    """Create a task, as the workflow does it.

    Raises:
        ApiError: 503 TASKS_UNAVAILABLE.
    """
    first = task.images[0]
    with carrying(UUID(first.payload["request_id"]), under="workflow", sampled=first.traced):
        tasks.create(
            settings.images_queue,
            task.task_id,
            url=_compress_url(settings),
            audience=settings.compressor_url,
            body=task.payload,
            dispatch_deadline_s=COMPRESSION_DEADLINE_S,
            start_at=first.start_at,
        )


def _compress_url(settings: IngestSettings) -> str:
    return f"{settings.compressor_url.rstrip('/')}/compress"
