"""The Cloud Tasks queue that carries delivery attempts: one named task per attempt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from chassis.errors import ApiError
from chassis.google.tasks import TaskQueue
from chassis.logs import get_logger
from reporter.state.deliveries import Hint

log = get_logger(__name__)

_DISPATCH_DEADLINE_S = 60


class DeliveryQueue(Protocol):
    """Takes hints and calls `POST /internal/deliveries` with each, at the time given or soon after."""

    def put(self, hint: Hint, *, not_before: datetime | None = None) -> None:
        """Queue a hint; the same hint twice is queued once.

        Raises:
            ApiError: 503 TASKS_UNAVAILABLE; the sweeper finds the delivery later.
        """
        ...


class CloudDeliveryQueue:
    """The real queue.

    Args:
        tasks: creates the tasks.
        queue: full name of the queue.
        root_url: this service's URL, which is the token's audience too.
    """

    def __init__(self, tasks: TaskQueue, *, queue: str, root_url: str) -> None:
        self._tasks = tasks
        self._queue = queue
        self._root_url = root_url

    def put(self, hint: Hint, *, not_before: datetime | None = None) -> None:
        """Create the task, named by delivery, attempt and resend."""
        self._tasks.create(
            self._queue,
            task_id(hint),
            url=f"{self._root_url}/internal/deliveries",
            audience=self._root_url,
            body={"delivery_id": str(hint.delivery_id), "attempt": hint.attempt},
            dispatch_deadline_s=_DISPATCH_DEADLINE_S,
            start_at=not_before,
        )


def give_hints(tasks: DeliveryQueue, hints: Iterable[Hint]) -> None:
    """Ask for an attempt of each delivery now."""
    for hint in hints:
        give_hint(tasks, hint)


def give_hint(tasks: DeliveryQueue, hint: Hint, *, not_before: datetime | None = None) -> None:
    """Ask for an attempt of a delivery; if the queue does not take it, the sweeper asks again when it is overdue."""
    try:
        tasks.put(hint, not_before=not_before)
    except ApiError as error:
        log.warning("hint.lost", delivery_id=str(hint.delivery_id), attempt=hint.attempt, reason=error.reason)


def task_id(hint: Hint) -> str:
    """Return the task's id: a hash, because ids that share a prefix slow a queue down.

    Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create
    """
    return hashlib.sha256(f"{hint.delivery_id}/{hint.attempt}/{hint.resend}".encode()).hexdigest()
