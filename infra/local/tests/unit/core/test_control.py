"""Reset and time control."""

from __future__ import annotations

from typing import Any

import pytest

from coroutine_tests import until
from localcloud.core.clock import SystemClock

LOCATION = "projects/demo/locations/us-central1"
SLEEP = """
- doze:
    call: sys.sleep
    args: {seconds: 3600}
- answer:
    return: rested
"""


async def test_reset_of_workflows_brings_back_the_folder_alone(instruments: Any) -> None:
    """Workflows made by hand and all executions are gone, faults too; the folder's workflow is there and runs."""
    async with instruments() as cloud:
        server = cloud.platform.workflows
        server.workflows.create(LOCATION, "nap", {"sourceContents": SLEEP})
        server.executions.create(f"{LOCATION}/workflows/nap", {})
        await cloud.order("workflows", route="executions.get", fault="lose")
        await cloud.call("workflows", "POST", "/_local/reset")
        status, _ = await cloud.call("workflows", "POST", f"/v1/{LOCATION}/workflows/echo/executions", {})

        assert list(server.store.workflows) == [f"{LOCATION}/workflows/echo"]
        assert (status, len(server.store.all_executions()), await cloud.fired("workflows")) == (200, 1, [])


async def test_reset_of_tasks_brings_back_the_queues_of_the_file(instruments: Any) -> None:
    """A queue made by hand is gone, its file's queue is empty, and a used task name is free again."""
    task = {"task": {"name": f"{LOCATION}/queues/q/tasks/t", "httpRequest": {"url": "http://127.0.0.1:9/"}}}
    async with instruments() as cloud:
        await cloud.call("tasks", "POST", f"/v2/{LOCATION}/queues", {"name": f"{LOCATION}/queues/extra"})
        await cloud.call("tasks", "POST", f"/v2/{LOCATION}/queues/q:pause", {})
        first, _ = await cloud.call("tasks", "POST", f"/v2/{LOCATION}/queues/q/tasks", task)
        await cloud.call("tasks", "POST", "/_local/reset")
        _, listed = await cloud.call("tasks", "GET", f"/v2/{LOCATION}/queues")
        await cloud.call("tasks", "POST", f"/v2/{LOCATION}/queues/q:pause", {})
        second, _ = await cloud.call("tasks", "POST", f"/v2/{LOCATION}/queues/q/tasks", task)

    assert [queue["name"].rpartition("/")[2] for queue in listed["queues"]] == ["q"]
    assert (listed["queues"][0]["state"], first, second) == ("RUNNING", 200, 200)


async def test_advanced_time_wakes_a_sleeping_execution(instruments: Any) -> None:
    """An hour of sleep takes one request to the instrument panel of any server."""
    async with instruments() as cloud:
        server = cloud.platform.workflows
        server.workflows.create(LOCATION, "nap", {"sourceContents": SLEEP})
        name = server.executions.create(f"{LOCATION}/workflows/nap", {})["name"]
        await cloud.call("tasks", "POST", "/_local/time", {"advance_s": 3599})
        before = server.store.execution(name).is_live
        await cloud.call("tasks", "POST", "/_local/time", {"advance_s": 1})
        await until(lambda: not server.store.execution(name).is_live)

        assert (before, server.store.execution(name).result) == (True, '"rested"')


async def test_machine_time_cannot_be_advanced(instruments: Any) -> None:
    """Without --manual-clock the order is refused, not ignored."""
    async with instruments(SystemClock()) as cloud:
        status, answer = await cloud.call("workflows", "POST", "/_local/time", {"advance_s": 1})

    assert (status, answer["error"]["status"]) == (400, "FAILED_PRECONDITION")
    assert "--manual-clock" in answer["error"]["message"]


@pytest.mark.parametrize("body", [{}, {"advance_s": -1}, {"advance_s": True}, {"advance_s": 1, "x": 2}, []])
async def test_time_order_that_cannot_be_understood_is_refused(instruments: Any, body: Any) -> None:
    """Time does not move by a typing error."""
    async with instruments() as cloud:
        before = cloud.clock.now()
        status, _ = await cloud.call("metadata", "POST", "/_local/time", body)

        assert (status, cloud.clock.now()) == (400, before)


async def test_unknown_instrument_is_not_found(instruments: Any) -> None:
    """Nothing below /_local/ falls through to the APIs."""
    async with instruments() as cloud:
        answers = [
            (await cloud.call(each, "POST", "/_local/nothing"))[0] for each in ("workflows", "tasks", "metadata")
        ]

    assert answers == [404, 404, 404]


@pytest.mark.parametrize("server", ["workflows", "tasks", "metadata"])
async def test_order_that_nests_without_end_is_refused(instruments: Any, server: str) -> None:
    """Whatever the parser makes of it, the answer names the caller's fault."""
    async with instruments() as cloud:
        address = f"{cloud.url(server)}/_local/faults"
        async with cloud.session.post(
            address, data=b"[" * 100_000, headers={"Content-Type": "application/json"}
        ) as response:
            answer = await response.json()

    assert (response.status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
