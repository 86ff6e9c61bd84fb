"""Batches of tasks: what is created, what each failure says, and that a repeated request creates nothing."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

LOCATION = "projects/demo/locations/us-central1"
QUEUE = f"{LOCATION}/queues/q"
REQUEST_ID = "5f0c1f6e-6f44-4f0e-9a43-0d1d2b1a7c11"


def request(name: str = "", url: str = "http://127.0.0.1:9/work") -> dict[str, Any]:
    """Return one request of a batch."""
    return {"task": ({"name": f"{QUEUE}/tasks/{name}"} if name else {}) | {"httpRequest": {"url": url}}}


async def started(cloud: Any, method: str, **body: Any) -> Any:
    """Send a batch to a paused queue and return the operation that is answered."""
    await cloud.call("POST", f"{QUEUE}:pause", {})
    status, operation = await cloud.call("POST", f"{QUEUE}/tasks:{method}", body)
    assert status == 200, operation
    return operation


async def ended(cloud: Any, operation: Any) -> Any:
    """Return an operation as it is when it is asked for."""
    status, answer = await cloud.call("GET", operation["name"])
    assert status == 200
    return answer


def test_batch_creates_its_tasks(lab: Any) -> None:
    """The first answer promises nothing; the operation has the tasks, in the order of the requests."""

    async def scenario() -> Any:
        async with lab() as cloud:
            operation = await started(cloud, "batchCreate", requests=[request("b"), request(), request("a")])
            return operation, await ended(cloud, operation), await cloud.task_ids()

    operation, answer, ids = asyncio.run(scenario())
    assert (operation["done"], operation["metadata"]["state"]) == (False, "RUNNING")
    assert (answer["done"], answer["metadata"]["state"]) == (True, "SUCCEEDED")
    assert [task["name"].rpartition("/")[2] in ids for task in answer["response"]["tasks"]] == [True] * 3
    assert answer["response"]["tasks"][2]["name"] == f"{QUEUE}/tasks/a"


def test_created_tasks_are_dispatched(lab: Any) -> None:
    """As those that were created one by one."""

    async def scenario() -> int:
        async with lab() as cloud:
            requests = [request(url=f"{cloud.target.url}/work") for _ in range(5)]
            await cloud.call("POST", f"{QUEUE}/tasks:batchCreate", {"requests": requests})
            await cloud.attempts(5)
            return len(cloud.target.requests)

    assert asyncio.run(scenario()) == 5


def test_request_that_fails_is_told_by_its_index(lab: Any) -> None:
    """The others are done: a name that is taken, and a task that cannot be."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await started(cloud, "batchCreate", requests=[request("a")])
            operation = await started(
                cloud, "batchCreate", requests=[request("a"), request("b"), {"task": {}}, request("c", url="ftp://x")]
            )
            return await ended(cloud, operation), await cloud.task_ids()

    answer, ids = asyncio.run(scenario())
    failures = answer["metadata"]["failedRequests"]
    assert answer["metadata"]["state"] == "PARTIALLY_SUCCEEDED"
    assert {index: failure["code"] for index, failure in failures.items()} == {"0": 6, "2": 3, "3": 3}
    assert all(failure["message"] for failure in failures.values())
    assert [task["name"] for task in answer["response"]["tasks"]] == [f"{QUEUE}/tasks/b"]
    assert sorted(ids) == ["a", "b"]


def test_batch_of_which_nothing_succeeds_has_an_error(lab: Any) -> None:
    """ABORTED, and the failures stand in the metadata."""

    async def scenario() -> Any:
        async with lab() as cloud:
            return await ended(cloud, await started(cloud, "batchCreate", requests=[{"task": {}}]))

    answer = asyncio.run(scenario())
    assert (answer["done"], answer["error"]["code"], "response" in answer) == (True, 10, False)
    assert answer["error"]["message"].startswith("None of the requests succeeded, refer to BatchCreateTasksMetadata")
    assert set(answer["metadata"]["failedRequests"]) == {"0"}


def test_repeated_request_id_creates_nothing(lab: Any) -> None:
    """The operation there is is answered, as it is by now."""

    async def scenario() -> Any:
        async with lab() as cloud:
            first = await started(cloud, "batchCreate", requests=[request(), request()], requestId=REQUEST_ID)
            second = await started(cloud, "batchCreate", requests=[request(), request()], requestId=REQUEST_ID)
            return first, second, await cloud.task_ids()

    first, second, ids = asyncio.run(scenario())
    assert first["name"] == second["name"] == f"{LOCATION}/operations/{REQUEST_ID}"
    assert (second["done"], len(ids)) == (True, 2)


def test_operation_without_a_request_id_has_one_of_its_own(lab: Any) -> None:
    """A UUID; two batches are two operations."""

    async def scenario() -> list[str]:
        async with lab() as cloud:
            return [(await started(cloud, "batchCreate", requests=[request()]))["name"] for _ in range(2)]

    names = asyncio.run(scenario())
    assert len({uuid.UUID(name.rpartition("/")[2]) for name in names}) == 2


@pytest.mark.parametrize(
    ("method", "body", "text"),
    [
        ("batchCreate", {"requests": []}, "requests must have 1 to 100 entries, not 0."),
        ("batchCreate", {}, "requests must have 1 to 100 entries, not 0."),
        ("batchCreate", {"requests": [request()] * 101}, "requests must have 1 to 100 entries, not 101."),
        ("batchCreate", {"requests": "x"}, "Invalid value at 'requests'"),
        ("batchCreate", {"requests": [request()], "requestId": "page-1"}, "request_id must be a UUID, not 'page-1'"),
        ("batchCreate", {"requests": [request() | {"parent": f"{LOCATION}/queues/r"}]}, "requests[0].parent must be"),
        ("batchCreate", {"requests": [request()], "tasks": []}, 'Unknown name "tasks"'),
        ("batchDelete", {"names": [f"{QUEUE}/tasks/a"] * 1001}, "names must have 1 to 1000 entries, not 1001."),
        ("batchDelete", {"names": [f"{LOCATION}/queues/r/tasks/a"]}, "names[0] must be a task of the queue"),
        ("batchDelete", {"names": [3]}, "Invalid value at 'names[0]'"),
    ],
)
def test_batch_that_cannot_be_is_refused_whole(lab: Any, method: str, body: dict[str, Any], text: str) -> None:
    """INVALID_ARGUMENT, and nothing is done."""

    async def scenario() -> Any:
        async with lab() as cloud:
            return await cloud.call("POST", f"{QUEUE}/tasks:{method}", body), await cloud.task_ids()

    (status, answer), ids = asyncio.run(scenario())
    assert (status, ids) == (400, [])
    assert text in answer["error"]["message"]


@pytest.mark.parametrize("method", ["batchCreate", "batchDelete"])
def test_batch_for_a_queue_that_is_not_there_is_not_found(lab: Any, method: str) -> None:
    """As a whole: no operation begins."""
    body = {"requests": [request()]} if method == "batchCreate" else {"names": [f"{LOCATION}/queues/no/tasks/a"]}

    async def scenario() -> Any:
        async with lab() as cloud:
            return await cloud.call("POST", f"{LOCATION}/queues/no/tasks:{method}", body)

    assert asyncio.run(scenario())[0] == 404


def test_batch_deletes_its_tasks(lab: Any) -> None:
    """A task that is not there fails alone."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await started(cloud, "batchCreate", requests=[request("a"), request("b"), request("c")])
            names = [f"{QUEUE}/tasks/{task}" for task in ("a", "none", "c")]
            answer = await ended(cloud, await started(cloud, "batchDelete", names=names))
            return answer, await cloud.task_ids()

    answer, ids = asyncio.run(scenario())
    assert ids == ["b"]
    assert (answer["metadata"]["state"], answer["metadata"]["failedRequests"]["1"]["code"]) == (
        "PARTIALLY_SUCCEEDED",
        5,
    )
    assert answer["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}


def test_operation_that_is_not_there_is_not_found(lab: Any) -> None:
    """Of a name that has the right form."""

    async def scenario() -> Any:
        async with lab() as cloud:
            return await cloud.call("GET", f"{LOCATION}/operations/none")

    assert asyncio.run(scenario())[0] == 404
