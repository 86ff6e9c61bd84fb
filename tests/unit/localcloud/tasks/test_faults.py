"""Ordered faults."""

from __future__ import annotations

import asyncio

import pytest


def test_refused_create_does_nothing_and_is_counted(lab):
    """The next create answers 503, the one after works, and the plan says that it happened."""

    async def scenario():
        async with lab() as cloud:
            await cloud.local("POST", "faults", {"fault": "refuse-create", "queue": "q"})
            codes = [(await cloud.create())[0] for _ in range(2)]
            await cloud.attempts(1)
            return codes, len(cloud.target.requests), (await cloud.local("GET", "faults"))[1]

    codes, count, plan = asyncio.run(scenario())

    assert (codes, count) == ([503, 200], 1)
    assert plan == {"faults": [{"fault": "refuse-create", "queue": "q", "left": 0, "fired": 1}]}


def test_lost_create_answer_leaves_the_task_behind(lab):
    """The repeated create meets the first one's task."""

    async def scenario():
        async with lab() as cloud:
            await cloud.local("POST", "faults", {"fault": "lose-create-answer", "queue": "q"})
            named = {"name": f"{cloud.queue}/tasks/t"}
            return [(await cloud.create(named))[0] for _ in range(2)]

    assert asyncio.run(scenario()) == [503, 409]


@pytest.mark.parametrize("fault", ["deliver-twice", "lose-response"])
def test_delivery_is_repeated(lab, fault):
    """The handler sees the task twice although it accepted it; then the task is gone."""

    async def scenario():
        async with lab() as cloud:
            await cloud.local("POST", "faults", {"fault": fault, "queue": "q", "count": 1})
            await cloud.create()
            await cloud.attempts(1)
            await cloud.clock.advance(1)
            await cloud.attempts(2)
            return len(cloud.target.requests), await cloud.task_ids()

    assert asyncio.run(scenario()) == (2, [])


def test_faults_of_another_queue_do_not_fire(lab):
    """An order is for one queue, until it is withdrawn."""

    async def scenario():
        async with lab() as cloud:
            await cloud.local("POST", "faults", {"fault": "refuse-create", "queue": "other"})
            created = (await cloud.create())[0]
            return created, (await cloud.local("DELETE", "faults"))[1]

    assert asyncio.run(scenario()) == (200, {"faults": []})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"fault": "explode", "queue": "q"},
        {"fault": "refuse-create", "queue": "q", "count": 0},
        {"fault": "x", "y": 1},
    ],
    ids=["empty", "unknown", "zero", "field"],
)
def test_order_that_cannot_be_understood_is_refused(lab, body):
    """A typing error must not look like a fault that never fires."""

    async def scenario():
        async with lab() as cloud:
            return (await cloud.local("POST", "faults", body))[0]

    assert asyncio.run(scenario()) == 400
