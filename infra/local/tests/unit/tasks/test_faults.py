"""Ordered faults."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest


def test_failed_create_does_nothing_and_is_counted(lab: Any) -> None:
    """The next create answers 503, the one after works, and the plan says that it happened."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.local("POST", "faults", {"fault": "fail", "route": "tasks.create", "queue": "q"})
            codes = [(await cloud.create())[0] for _ in range(2)]
            await cloud.attempts(1)
            return codes, len(cloud.target.requests), (await cloud.local("GET", "faults"))[1]

    codes, count, plan = asyncio.run(scenario())

    assert (codes, count) == ([503, 200], 1)
    assert plan == {
        "faults": [{"route": "tasks.create", "fault": "fail", "queue": "q", "code": 503, "left": 0, "fired": 1}]
    }


def test_dropped_create_answer_leaves_the_task_behind(lab: Any) -> None:
    """The repeated create meets the first one's task."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.local("POST", "faults", {"fault": "drop-response", "route": "tasks.create", "queue": "q"})
            named = {"name": f"{cloud.queue}/tasks/t"}
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await cloud.create(named)
            return (await cloud.create(named))[0]

    assert asyncio.run(scenario()) == 409


@pytest.mark.parametrize("fault", ["deliver-twice", "drop-response"])
def test_delivery_is_repeated(lab: Any, fault: dict[str, Any]) -> None:
    """The handler sees the task twice although it accepted it; then the task is gone."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.local("POST", "faults", {"fault": fault, "queue": "q", "count": 1})
            await cloud.create()
            await cloud.attempts(1)
            await cloud.clock.advance(1)
            await cloud.attempts(2)
            return len(cloud.target.requests), await cloud.task_ids()

    assert asyncio.run(scenario()) == (2, [])


@pytest.mark.parametrize("fault", [{"fault": "lose"}, {"fault": "fail", "code": 500}], ids=["lost", "failed"])
def test_delivery_that_never_arrives_is_repeated(lab: Any, fault: dict[str, Any]) -> None:
    """The handler sees only the second attempt, which says that it is one."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.local("POST", "faults", {"queue": "q", **fault})
            await cloud.create()
            await cloud.until(lambda: cloud.server.dispatcher.in_flight(cloud.queue) == 0)
            await cloud.clock.advance(1)
            await cloud.attempts(1)
            return [request["headers"]["X-CloudTasks-TaskRetryCount"] for request in cloud.target.requests]

    assert asyncio.run(scenario()) == ["1"]


def test_faults_of_another_queue_do_not_fire(lab: Any) -> None:
    """An order is for one queue, until it is withdrawn."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.local("POST", "faults", {"fault": "fail", "route": "tasks.create", "queue": "other"})
            created = (await cloud.create())[0]
            return created, (await cloud.local("DELETE", "faults"))[1]

    assert asyncio.run(scenario()) == (200, {"faults": []})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"fault": "explode", "queue": "q"},
        {"fault": "fail", "queue": "q", "count": 0},
        {"fault": "fail", "route": "tasks.crate"},
        {"fault": "delay", "queue": "q"},
        {"fault": "lose", "queue": "q", "code": 500},
        {"fault": "lose", "queue": "q", "transport": "smoke"},
        {"fault": "lose"},
        ["lose"],
        {"fault": "x", "y": 1},
    ],
    ids=["empty", "unknown", "zero", "route", "no delay", "needless code", "transport", "no route", "list", "field"],
)
def test_order_that_cannot_be_understood_is_refused(lab: Any, body: Any) -> None:
    """A typing error must not look like a fault that never fires."""

    async def scenario() -> Any:
        async with lab() as cloud:
            return (await cloud.local("POST", "faults", body))[0]

    assert asyncio.run(scenario()) == 400
