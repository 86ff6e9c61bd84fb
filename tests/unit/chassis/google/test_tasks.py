"""A task is created once under its name, and only a name that is taken counts as created before."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from google.api_core import exceptions

from chassis.errors import ApiError
from chassis.google.tasks import CloudTasksQueue
from chassis.tracing import begin_trace

QUEUE = "projects/demo/locations/us-central1/queues/images"


def create(queue: CloudTasksQueue) -> None:
    """Create a task."""
    queue.create(QUEUE, "a1", url="http://a.test/x", audience="http://a.test", body={"x": 1}, dispatch_deadline_s=60)


class KeepingClient:
    """A client of Cloud Tasks that keeps what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def create_task(self, **arguments: Any) -> None:
        """Keep the arguments."""
        self.calls.append(arguments)


class ConflictingClient:
    """A client of Cloud Tasks whose every call is answered with one error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def create_task(self, **_arguments: Any) -> None:
        """Fail."""
        raise self.error


ERRORS: Any = exceptions  # their constructors have no types


def conflict(status: str) -> Exception:
    """Return a 409 as the REST transport makes it."""
    response = requests.Response()
    response.status_code = 409
    response._content = json.dumps({"error": {"code": 409, "status": status, "message": "No."}}).encode()
    made: Exception = ERRORS.Conflict("No.", response=response)
    return made


@pytest.mark.parametrize("error", [ERRORS.AlreadyExists("taken"), conflict("ALREADY_EXISTS")], ids=["gRPC", "REST"])
def test_a_name_that_exists_is_a_task_that_was_created(error: Exception) -> None:
    """However the transport says it."""
    queue = CloudTasksQueue(ConflictingClient(error), {QUEUE: "tasks@demo.test"})

    create(queue)


@pytest.mark.parametrize(
    "error",
    [ERRORS.Aborted("try again"), conflict("ABORTED"), ERRORS.Conflict("no body")],
    ids=["gRPC", "REST", "no body"],
)
def test_any_other_conflict_is_no_success(error: Exception) -> None:
    """There is no task then, and the caller must know it."""
    queue = CloudTasksQueue(ConflictingClient(error), {QUEUE: "tasks@demo.test"})

    with pytest.raises(ApiError) as refused:
        create(queue)

    assert (refused.value.reason, refused.value.http_code) == ("TASKS_UNAVAILABLE", 503)


def test_a_task_carries_the_trace_of_its_request() -> None:
    """So that what it causes is found in the logs beside what caused it."""
    client = KeepingClient()
    trace = begin_trace({})

    create(CloudTasksQueue(client, {QUEUE: "tasks@demo.test"}))

    assert trace.trace_id in client.calls[0]["task"].http_request.headers["traceparent"]


def test_a_call_is_bounded_and_not_repeated_by_the_library() -> None:
    """Whoever creates the task again is the outbox or the sweeper; a caller hears 503 within 5 s."""
    client = KeepingClient()

    create(CloudTasksQueue(client, {QUEUE: "tasks@demo.test"}))

    assert (client.calls[0]["timeout"] < 5, client.calls[0]["retry"]) == (True, None)
