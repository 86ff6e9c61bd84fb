"""Creates named Cloud Tasks tasks; a name that exists is a task that was created before, which is success.

The name is what makes a repeat harmless: whoever may have created a task creates it again under the same name.
Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import google.api_core.exceptions
import google.auth.exceptions
import requests
from google.cloud import tasks_v2
from google.protobuf import duration_pb2

from chassis.errors import unavailable
from chassis.google.silence import CALL_S
from chassis.tracing import trace_headers


class TaskQueue(Protocol):
    """What the services need of Cloud Tasks."""

    def create(
        self,
        queue: str,
        task_id: str,
        *,
        url: str,
        audience: str,
        body: Mapping[str, Any],
        dispatch_deadline_s: int,
        start_at: datetime | None = None,
    ) -> None:
        """Create a task that posts JSON with an OIDC token, not before `start_at`; a repeat changes nothing.

        Args:
            queue: full name of the queue.
            task_id: names the task in its queue; a hash, because ids that share a prefix slow a queue down.
            url: where the task posts.
            audience: of the token, the root URL of the service that is called.
            body: sent as JSON.
            dispatch_deadline_s: seconds that one delivery may take, 15 to 1800.
            start_at: not before this time (aware); None is now.

        Raises:
            ApiError: 503 with the reason of the adapter.
        """
        ...


TASKS_UNAVAILABLE = "TASKS_UNAVAILABLE"
"""The one reason for a task that could not be created, in every service."""


class CloudTasksQueue:
    """Google's Cloud Tasks, or an emulator of it.

    Args:
        client: `google.cloud.tasks_v2.CloudTasksClient`.
        accounts: full name of each queue to the email of the account whose token its tasks carry: one a queue, so
            that whoever may fill one queue can call one service.
    """

    def __init__(self, client: Any, accounts: Mapping[str, str]) -> None:
        self._client = client
        self._accounts = dict(accounts)

    def create(
        self,
        queue: str,
        task_id: str,
        *,
        url: str,
        audience: str,
        body: Mapping[str, Any],
        dispatch_deadline_s: int,
        start_at: datetime | None = None,
    ) -> None:
        """Create the task, with the trace of the present request."""
        task = tasks_v2.Task(
            name=f"{queue}/tasks/{task_id}",
            schedule_time=start_at,
            dispatch_deadline=duration_pb2.Duration(seconds=dispatch_deadline_s),
            http_request=tasks_v2.HttpRequest(
                url=url,
                http_method=tasks_v2.HttpMethod.POST,
                headers={"Content-Type": "application/json", **trace_headers()},
                body=json.dumps(body).encode(),
                oidc_token=tasks_v2.OidcToken(service_account_email=self._accounts[queue], audience=audience),
            ),
        )
        try:
            self._client.create_task(parent=queue, task=task, timeout=CALL_S, retry=None)
        except google.api_core.exceptions.Conflict as error:
            if not exists_already(error):
                raise unavailable(TASKS_UNAVAILABLE, "The task could not be created.") from error
        except (
            google.api_core.exceptions.GoogleAPIError,
            google.auth.exceptions.GoogleAuthError,
            requests.RequestException,
        ) as error:
            # The REST transport lets the errors of requests through as they are.
            raise unavailable(TASKS_UNAVAILABLE, "The task could not be created.") from error


def exists_already(error: google.api_core.exceptions.Conflict) -> bool:
    """Return whether the task's name is taken, which no other conflict says.

    Over gRPC that is a class of its own. Over REST every 409 is a plain `Conflict` with the status in its body: an
    ABORTED, for one, is a 409 too, and no task was created then.
    """
    if isinstance(error, google.api_core.exceptions.AlreadyExists):
        return True
    try:
        return bool(error.response.json()["error"]["status"] == "ALREADY_EXISTS")
    except (AttributeError, ValueError, KeyError, TypeError):
        return False
