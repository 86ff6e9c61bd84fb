"""BufferTask: requests of any kind become tasks for the address of their queue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

LOCATION = "projects/demo/locations/us-central1"


async def _routed(cloud: Any, **target: Any) -> None:
    """Give the queue the lab's target as its address."""
    host, _, port = cloud.target.url.removeprefix("http://").partition(":")
    uri = {"scheme": "HTTP", "host": host, "port": port, "pathOverride": {"path": "/inbox"}}
    await cloud.call("PATCH", cloud.queue, {"httpTarget": {"uriOverride": uri, **target}})


async def _buffer(cloud: Any, method: str, path: str, version: str = "v2", **options: Any) -> Any:
    url = f"{cloud.server.base_url}/{version}/{cloud.queue}/{path}"
    async with cloud.client.request(method, url, **options) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("version", ["v2", "v2beta3"])
def test_any_body_is_delivered_as_it_came(lab: Any, version: str) -> None:
    """As `curl -d` sends it."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await _routed(cloud)
            status, answer = await _buffer(cloud, "POST", "tasks:buffer", version, data={"a": "b"})
            await cloud.attempts(1)
            return status, answer, cloud.target.requests[0]

    status, answer, request = asyncio.run(scenario())
    assert (status, answer["task"]["httpRequest"]["httpMethod"]) == (200, "POST")
    assert (request["method"], request["path"], request["body"]) == ("POST", "/inbox", b"a=b")
    assert request["headers"]["Content-Type"] == "application/x-www-form-urlencoded"


def test_method_of_the_request_is_that_of_the_task(lab: Any) -> None:
    """A GET of the buffer is a GET of the target."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await _routed(cloud)
            await _buffer(cloud, "GET", "tasks:buffer")
            await cloud.attempts(1)
            return cloud.target.requests[0]["method"]

    assert asyncio.run(scenario()) == "GET"


@pytest.mark.parametrize("path", ["tasks/mine:buffer", "tasks/:buffer", "tasks:buffer"])
def test_task_has_the_id_that_was_asked_for(lab: Any, path: str) -> None:
    """Or a generated one; gcloud sends the form with the slash."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await _routed(cloud)
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            return (await _buffer(cloud, "POST", path))[1]["task"]["name"].rpartition("/")[2]

    task_id = asyncio.run(scenario())
    assert task_id == "mine" if "mine" in path else task_id.isdecimal()


@pytest.mark.parametrize("target", [None, {"httpMethod": "PUT"}], ids=["no-target", "no-host"])
def test_queue_without_an_address_buffers_nothing(lab: Any, target: Any) -> None:
    """The queue must have an HTTP target."""

    async def scenario() -> Any:
        async with lab() as cloud:
            if target is not None:
                await cloud.call("PATCH", cloud.queue, {"httpTarget": target})
            return (await _buffer(cloud, "POST", "tasks:buffer"))[1]["error"]["status"]

    assert asyncio.run(scenario()) == "FAILED_PRECONDITION"


def test_change_of_the_queue_reaches_tasks_that_wait(lab: Any) -> None:
    """The address is asked for when a task is sent."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            await cloud.create()
            await _routed(cloud)
            await cloud.call("POST", f"{cloud.queue}:resume", {})
            await cloud.attempts(1)
            return cloud.target.requests[0]["path"]

    assert asyncio.run(scenario()) == "/inbox"


@pytest.mark.parametrize(
    ("mask", "kept"),
    [("", False), ("httpTarget", False), ("http_target.uri_override", False), ("rateLimits", True)],
)
def test_target_is_cleared_by_a_mask_that_names_it(lab: Any, mask: str, kept: bool) -> None:
    """A masked field that the body leaves out is cleared; others stay."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await _routed(cloud)
            _, answer = await cloud.call("PATCH", f"{cloud.queue}?updateMask={mask}", {})
            return answer

    assert ("httpTarget" in asyncio.run(scenario())) is kept
