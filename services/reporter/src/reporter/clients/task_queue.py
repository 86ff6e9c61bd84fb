"""The Cloud Tasks queue that carries delivery attempts: one named task per attempt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

import requests
from google.api_core.exceptions import AlreadyExists, Conflict, GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.protobuf import duration_pb2, timestamp_pb2

from chassis.errors import ApiError
from chassis.logs import get_logger
from chassis.tracing import trace_headers
from reporter.errors import queue_unavailable
from reporter.state.deliveries import Hint

log = get_logger(__name__)

_CALL_TIMEOUT_S = 10.0
_DISPATCH_DEADLINE_S = 60


class DeliveryQueue(Protocol):
    """Takes hints and calls `POST /internal/deliveries` with each, at the time given or soon after."""

    def put(self, hint: Hint, *, not_before: datetime | None = None) -> None:
        """Queue a hint; the same hint twice is queued once.

        Raises:
            ApiError: 503 QUEUE_UNAVAILABLE; the sweeper finds the delivery later.
        """
        ...


class CloudTasksQueue:
    """The real queue.

    Args:
        client: a `google.cloud.tasks_v2.CloudTasksClient`.
        queue: full name of the queue.
        root_url: this service's URL, which is the token's audience too.
        service_account: the account whose token Cloud Tasks sends.
    """

    def __init__(self, client: Any, *, queue: str, root_url: str, service_account: str) -> None:
        self._client = client
        self._queue = queue
        self._root_url = root_url
        self._service_account = service_account

    def put(self, hint: Hint, *, not_before: datetime | None = None) -> None:
        """Create the task, named by delivery, attempt and resend."""
        task: dict[str, Any] = {
            "name": f"{self._queue}/tasks/{task_id(hint)}",
            "dispatch_deadline": duration_pb2.Duration(seconds=_DISPATCH_DEADLINE_S),
            "http_request": {
                "url": f"{self._root_url}/internal/deliveries",
                "http_method": "POST",
                "headers": {"Content-Type": "application/json", **trace_headers()},
                "body": json.dumps({"delivery_id": str(hint.delivery_id), "attempt": hint.attempt}).encode(),
                "oidc_token": {"service_account_email": self._service_account, "audience": self._root_url},
            },
        }
        if not_before is not None:
            stamp = timestamp_pb2.Timestamp()
            stamp.FromDatetime(not_before)
            task["schedule_time"] = stamp
        try:
            self._client.create_task(parent=self._queue, task=task, timeout=_CALL_TIMEOUT_S)
        except Conflict as error:
            if not _exists_already(error):
                raise queue_unavailable() from error
        except (GoogleAPIError, GoogleAuthError, requests.RequestException) as error:
            raise queue_unavailable() from error


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


def _exists_already(error: Conflict) -> bool:
    """Return whether the task's name is taken, which no other conflict says.

    Over gRPC that is a class of its own; over REST every 409 is a plain `Conflict` with the status in its body.
    """
    if isinstance(error, AlreadyExists):
        return True
    try:
        return bool(error.response.json()["error"]["status"] == "ALREADY_EXISTS")
    except (AttributeError, ValueError, KeyError, TypeError):
        return False


def task_id(hint: Hint) -> str:
    """Return the task's id: a hash, because ids that share a prefix slow a queue down.

    Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create
    """
    return hashlib.sha256(f"{hint.delivery_id}/{hint.attempt}/{hint.resend}".encode()).hexdigest()
