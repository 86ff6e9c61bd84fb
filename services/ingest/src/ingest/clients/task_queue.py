"""Creates Cloud Tasks tasks; a name that exists is a task that was created before, which is success."""

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

from ingest.errors import Reason, unavailable

_CALL_TIMEOUT_S = 5.0


class TaskQueue(Protocol):
    """What ingest needs of Cloud Tasks."""

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

        Raises:
            ApiError: 503 TASKS_UNAVAILABLE.
        """
        ...


class CloudTasksQueue:
    """Google's Cloud Tasks, or an emulator of it.

    Args:
        client: `google.cloud.tasks_v2.CloudTasksClient`.
        service_account: email of the account whose token the task carries.
    """

    def __init__(self, client: Any, service_account: str) -> None:
        self._client = client
        self._service_account = service_account

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

        Raises:
            ApiError: 503 TASKS_UNAVAILABLE.
        """
        task = tasks_v2.Task(
            name=f"{queue}/tasks/{task_id}",
            schedule_time=start_at,
            dispatch_deadline=duration_pb2.Duration(seconds=dispatch_deadline_s),
            http_request=tasks_v2.HttpRequest(
                url=url,
                http_method=tasks_v2.HttpMethod.POST,
                headers={"Content-Type": "application/json"},
                body=json.dumps(body).encode(),
                oidc_token=tasks_v2.OidcToken(service_account_email=self._service_account, audience=audience),
            ),
        )
        try:
            self._client.create_task(parent=queue, task=task, timeout=_CALL_TIMEOUT_S, retry=None)
        except google.api_core.exceptions.Conflict as error:
            if not _exists_already(error):
                raise unavailable(Reason.TASKS_UNAVAILABLE, "The task could not be created.") from error
        except (
            google.api_core.exceptions.GoogleAPIError,
            google.auth.exceptions.GoogleAuthError,
            requests.RequestException,
        ) as error:
            # The REST transport lets the errors of requests through as they are.
            raise unavailable(Reason.TASKS_UNAVAILABLE, "The task could not be created.") from error


def _exists_already(error: google.api_core.exceptions.Conflict) -> bool:
    """Return whether the task's name is taken.

    Over gRPC that is a class of its own; over REST every 409 is a plain `Conflict` with the status in its body.
    """
    if isinstance(error, google.api_core.exceptions.AlreadyExists):
        return True
    try:
        return bool(error.response.json()["error"]["status"] == "ALREADY_EXISTS")
    except (AttributeError, ValueError, KeyError, TypeError):
        return False
