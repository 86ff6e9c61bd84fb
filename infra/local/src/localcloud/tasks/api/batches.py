"""The methods that create and delete tasks in batches, and the operations that tell how a batch went.

A batch is done at once, but its first answer says RUNNING, as production may say: a caller that wants to know the
outcome has to ask for the operation. How production validates and words this is not published; what is chosen here is
assumed, except what the comments of the API's messages say.

Source: google/cloud/tasks/v2/cloudtasks.proto (BatchCreateTasks, BatchDeleteTasks and their metadata).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.google_errors import GoogleError, invalid_argument, not_found
from localcloud.core.json_values import Json, object_from_json, text_from_json
from localcloud.core.times import timestamp_to_json
from localcloud.tasks.api.methods import CloudTasksApi
from localcloud.tasks.model import Operation
from localcloud.tasks.store import TaskStore

MAX_CREATED = 100
MAX_DELETED = 1000
"""Requests in one batch."""

_ABORTED = 10
_NONE_SUCCEEDED = "None of the requests succeeded, refer to {}Metadata.failed_requests for individual error details"
"""Code and text are documented for deletes."""

_TYPES = "type.googleapis.com/google.cloud.tasks.v2"
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_OPERATION = re.compile(r"projects/[^/]+/locations/[^/]+/operations/[^/]+")


class TaskBatches:
    """Every method takes and returns the JSON of its REST form and raises `GoogleError`.

    Args:
        api: creates and deletes single tasks.
        store: keeps the operations.
        clock: gives their times.
    """

    def __init__(self, api: CloudTasksApi, store: TaskStore, clock: Clock) -> None:
        self._api = api
        self._store = store
        self._clock = clock

    def create(self, parent: str, value: Any) -> Json:
        """Create up to 100 tasks of a queue; a repeated `requestId` answers the operation there is and creates none."""
        body = object_from_json(value, at="request", allowed=("parent", "requests", "requestId"))
        requests = _list(body, "requests", MAX_CREATED)
        for index, request in enumerate(requests):
            given = request.get("parent", parent) if isinstance(request, dict) else parent
            if given != parent:
                raise invalid_argument(f"requests[{index}].parent must be the parent of the batch: {parent!r}")

        def act(request: Any) -> Json:
            return self._api.create_task(parent, request)

        return self._run("BatchCreateTasks", parent, body, requests, act)

    def delete(self, parent: str, value: Any) -> Json:
        """Delete up to 1000 tasks of a queue; a repeated `requestId` answers the operation there is."""
        body = object_from_json(value, at="request", allowed=("parent", "names", "requestId"))
        names = _list(body, "names", MAX_DELETED)
        for index, name in enumerate(names):
            if not text_from_json(name, at=f"names[{index}]").startswith(f"{parent}/tasks/"):
                raise invalid_argument(f"names[{index}] must be a task of the queue {parent!r}")
        return self._run("BatchDeleteTasks", parent, body, names, self._api.delete_task)

    def operation(self, name: str) -> Json:
        """Describe an operation.

        Raises:
            GoogleError: INVALID_ARGUMENT for a name of another form, NOT_FOUND.
        """
        if _OPERATION.fullmatch(name) is None:
            raise invalid_argument(f'Operation name "{name}" must be "projects/P/locations/L/operations/O".')
        found = self._store.operation(name)
        if found is None:
            raise not_found(f"Operation '{name}' was not found")
        return _operation_json(found)

    def _run(self, method: str, parent: str, body: Json, requests: list[Any], act: Callable[[Any], Json]) -> Json:
        request_id = text_from_json(body.get("requestId", ""), at="request_id")
        if request_id and _UUID.fullmatch(request_id) is None:
            raise invalid_argument(f"request_id must be a UUID, not {request_id[:100]!r}")
        # Before anything is done: a queue that is not there fails the batch, not each request.
        self._api.get_queue(parent)
        name = f"{parent.rpartition('/queues/')[0]}/operations/{request_id or uuid.uuid4()}"
        known = self._store.operation(name)
        if known is not None:
            return _operation_json(known)
        start_time = self._clock.now()
        failures: dict[int, tuple[int, str]] = {}
        answers = []
        for index, request in enumerate(requests):
            try:
                answers.append(act(request))
            except GoogleError as error:
                failures[index] = (error.grpc_code, error.message)
        tasks = tuple(answers) if method == "BatchCreateTasks" else ()
        operation = Operation(name, method, start_time, self._clock.now(), len(requests), failures, tasks)
        self._store.put_operation(operation)
        return {"name": name, "metadata": _metadata(operation, "RUNNING"), "done": False}


def _list(body: Json, field: str, most: int) -> list[Any]:
    items = body.get(field, [])
    if not isinstance(items, list):
        raise invalid_argument(f"Invalid value at '{field}': expected a list.")
    if not 1 <= len(items) <= most:
        raise invalid_argument(f"{field} must have 1 to {most} entries, not {len(items)}.")
    return items


def _operation_json(operation: Operation) -> Json:
    state = "PARTIALLY_SUCCEEDED" if operation.failures else "SUCCEEDED"
    body: Json = {"name": operation.name, "metadata": _metadata(operation, state), "done": True}
    if len(operation.failures) == operation.request_count:
        body["error"] = {"code": _ABORTED, "message": _NONE_SUCCEEDED.format(operation.method)}
    elif operation.method == "BatchCreateTasks":
        body["response"] = {"@type": f"{_TYPES}.BatchCreateTasksResponse", "tasks": list(operation.tasks)}
    else:
        body["response"] = {"@type": "type.googleapis.com/google.protobuf.Empty"}
    return body


def _metadata(operation: Operation, state: str) -> Json:
    metadata: Json = {
        "@type": f"{_TYPES}.{operation.method}Metadata",
        "startTime": timestamp_to_json(operation.start_time),
        "state": state,
    }
    if state == "RUNNING":
        return metadata
    metadata["endTime"] = timestamp_to_json(operation.end_time)
    if operation.failures:
        metadata["failedRequests"] = {
            str(index): {"code": code, "message": message} for index, (code, message) in operation.failures.items()
        }
    return metadata
