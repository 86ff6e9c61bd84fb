"""Dispatch: headers, success, retries, pacing, deadlines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from localcloud.tasks.model import RetryConfig

RETRY = RetryConfig(max_attempts=3, min_backoff_s=10, max_backoff_s=300, max_doublings=3)


def test_task_is_delivered_with_the_documented_headers(lab: Any) -> None:
    """Method, body and user headers arrive with the X-CloudTasks headers; service headers cannot be forged."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.create(
                {"name": f"{cloud.queue}/tasks/t1"},
                body="aGVsbG8=",
                httpMethod="PUT",
                headers={"X-Mine": "1", "X-Google-Fake": "1", "X-CloudTasks-TaskName": "fake", "User-Agent": "me"},
            )
            await cloud.attempts(1)
            return cloud.target.requests[0], cloud.clock.now()

    request, now = asyncio.run(scenario())

    headers = request["headers"]
    chosen = {name: value for name, value in headers.items() if name.startswith("X-") or name == "User-Agent"}
    assert (request["method"], request["path"], request["body"]) == ("PUT", "/work", b"hello")
    assert chosen == {
        "X-Mine": "1",
        "User-Agent": "Google-Cloud-Tasks",
        "X-CloudTasks-QueueName": "q",
        "X-CloudTasks-TaskName": "t1",
        "X-CloudTasks-TaskRetryCount": "0",
        "X-CloudTasks-TaskExecutionCount": "0",
        "X-CloudTasks-TaskETA": f"{now:.6f}",
    }
    assert "Content-Type" not in headers


def test_delivered_task_is_gone(lab: Any) -> None:
    """A 2xx answer deletes the task."""

    async def scenario() -> Any:
        async with lab() as cloud:
            cloud.target.script = [web.Response(status=204)]
            await cloud.create()
            await cloud.attempts(1)
            return await cloud.task_ids()

    assert asyncio.run(scenario()) == []


def test_failed_task_is_retried_with_backoff_until_attempts_are_used(lab: Any) -> None:
    """Three attempts at 0, 10 and 30 seconds, then the task is deleted."""

    async def scenario() -> Any:
        async with lab(retry=RETRY) as cloud:
            cloud.target.script = [web.Response(status=500), web.Response(status=404), web.Response(status=500)]
            await cloud.create({"name": f"{cloud.queue}/tasks/t1"})
            await cloud.attempts(1)
            await cloud.clock.advance(9.9)
            early = len(cloud.target.requests)
            await cloud.clock.advance(0.2)
            await cloud.attempts(2)
            _, task = await cloud.call("GET", f"{cloud.queue}/tasks/t1")
            await cloud.clock.advance(21)
            await cloud.attempts(3)
            return early, task, await cloud.task_ids(), [r["headers"] for r in cloud.target.requests]

    early, task, left, headers = asyncio.run(scenario())

    assert (early, left) == (1, [])
    assert (task["dispatchCount"], task["responseCount"]) == (2, 2)
    assert task["lastAttempt"]["responseStatus"] == {"code": 5, "message": "NOT_FOUND(5): HTTP status code 404"}
    names = ("RetryCount", "ExecutionCount", "PreviousResponse", "RetryReason")
    assert [[h.get(f"X-CloudTasks-Task{name}") for name in names] for h in headers] == [
        ["0", "0", None, None],
        ["1", "0", "500", ""],
        ["2", "1", "404", ""],
    ]


def test_task_retry_config_overrides_that_of_its_queue(lab: Any) -> None:
    """A task may bring its own retry config."""

    async def scenario() -> Any:
        async with lab(retry=RETRY) as cloud:
            cloud.target.script = [web.Response(status=500)]
            await cloud.create({"retryConfig": {"maxAttempts": 1}})
            await cloud.attempts(1)
            return await cloud.task_ids()

    assert asyncio.run(scenario()) == []


def test_unreachable_target_is_a_failed_attempt_without_response(lab: Any) -> None:
    """A refused connection counts as a dispatch and not as a response."""

    async def scenario() -> Any:
        async with lab(retry=RETRY) as cloud:
            await cloud.create({"name": f"{cloud.queue}/tasks/t1"}, url="http://127.0.0.1:1/")
            await cloud.until(lambda: cloud.server.store.task(f"{cloud.queue}/tasks/t1").dispatch_count == 1)
            return (await cloud.call("GET", f"{cloud.queue}/tasks/t1"))[1]

    task = asyncio.run(scenario())

    assert "responseCount" not in task
    assert task["lastAttempt"]["responseStatus"]["code"] == 14


def test_dispatch_deadline_cancels_the_request_and_counts_as_failure(lab: Any) -> None:
    """An attempt that outlives its deadline is DEADLINE_EXCEEDED, frees its slot and is retried."""

    async def scenario() -> Any:
        async with lab(retry=RETRY, concurrent=1) as cloud:
            cloud.target.gate.clear()
            await cloud.create({"name": f"{cloud.queue}/tasks/t1", "dispatchDeadline": "15s"})
            await cloud.until(lambda: len(cloud.target.requests) == 1)
            await cloud.clock.advance(14.9)
            before = cloud.server.dispatcher.in_flight(cloud.queue)
            await cloud.clock.advance(0.2)
            await cloud.until(lambda: cloud.server.dispatcher.in_flight(cloud.queue) == 0)
            return before, (await cloud.call("GET", f"{cloud.queue}/tasks/t1"))[1]

    before, task = asyncio.run(scenario())

    assert before == 1
    assert task["lastAttempt"]["responseStatus"]["code"] == 4


def test_scheduled_task_waits_for_its_time(lab: Any) -> None:
    """Nothing is sent before scheduleTime."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.create({"scheduleTime": "2023-11-14T22:14:20Z"})
            await cloud.clock.advance(59)
            early = len(cloud.target.requests)
            await cloud.clock.advance(2)
            await cloud.attempts(1)
            return early, len(cloud.target.requests)

    assert asyncio.run(scenario()) == (0, 1)


@pytest.mark.feature("24")
def test_queue_rate_bounds_dispatches(lab: Any) -> None:
    """With 5 per second and a bucket of 5, one second after ten creates exactly ten requests were made."""

    async def scenario() -> Any:
        async with lab(rate=5, burst=5) as cloud:
            for _ in range(12):
                await cloud.create()
            await cloud.attempts(5)
            counts = [len(cloud.target.requests)]
            for _ in range(2):
                await cloud.clock.advance(0.5)
                await cloud.until(lambda: cloud.server.dispatcher.in_flight(cloud.queue) == 0)
                counts.append(len(cloud.target.requests))
            return counts

    assert asyncio.run(scenario()) == [5, 7, 10]


@pytest.mark.feature("24")
def test_queue_concurrency_bounds_requests_in_flight(lab: Any) -> None:
    """No more than max_concurrent_dispatches requests are open at once."""

    async def scenario() -> Any:
        async with lab(concurrent=3) as cloud:
            cloud.target.gate.clear()
            for _ in range(9):
                await cloud.create()
            await cloud.until(lambda: cloud.target.open_now == 3)
            cloud.target.gate.set()
            await cloud.attempts(9)
            return cloud.target.open_most

    assert asyncio.run(scenario()) == 3


@pytest.mark.parametrize(
    ("header", "wait_s"), [({}, 20), ({"Retry-After": "45"}, 45)], ids=["without", "with Retry-After"]
)
def test_throttling_answer_delays_the_task(lab: Any, header: dict[str, str], wait_s: float) -> None:
    """A 503 waits twice the backoff, or as long as Retry-After asks."""

    async def scenario() -> Any:
        async with lab(retry=RETRY) as cloud:
            cloud.target.script = [web.Response(status=503, headers=header)]
            start = cloud.clock.now()
            await cloud.create({"name": f"{cloud.queue}/tasks/t1"})
            await cloud.attempts(1)
            return cloud.server.store.task(f"{cloud.queue}/tasks/t1").schedule_time - start

    assert asyncio.run(scenario()) == wait_s


def test_paused_queue_keeps_its_tasks_until_it_is_resumed(lab: Any) -> None:
    """Pause stops dispatching and allows creates."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            await cloud.create()
            await cloud.clock.advance(60)
            paused = len(cloud.target.requests)
            await cloud.call("POST", f"{cloud.queue}:resume", {})
            await cloud.attempts(1)
            return paused, len(cloud.target.requests)

    assert asyncio.run(scenario()) == (0, 1)


def test_run_ignores_pause_and_schedule(lab: Any) -> None:
    """RunTask dispatches a task of a paused queue long before its time."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            await cloud.create({"name": f"{cloud.queue}/tasks/t1", "scheduleTime": "2023-11-20T00:00:00Z"})
            status, _ = await cloud.call("POST", f"{cloud.queue}/tasks/t1:run", {})
            await cloud.attempts(1)
            again, _ = await cloud.call("POST", f"{cloud.queue}/tasks/t1:run", {})
            return status, again

    assert asyncio.run(scenario()) == (200, 404)


def test_run_shows_the_attempt_that_it_starts(lab: Any) -> None:
    """Also on a paused queue: counted, with the time of its dispatch and no outcome yet."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            await cloud.create({"name": f"{cloud.queue}/tasks/t1"})
            cloud.target.gate.clear()
            _, answer = await cloud.call("POST", f"{cloud.queue}/tasks/t1:run", {})
            _, shown = await cloud.call("GET", f"{cloud.queue}/tasks/t1")
            return answer, shown

    answer, shown = asyncio.run(scenario())
    assert answer == shown
    assert (answer["dispatchCount"], "responseCount" in answer) == (1, False)
    assert answer["firstAttempt"] == {"dispatchTime": answer["lastAttempt"]["dispatchTime"]}
    assert set(answer["lastAttempt"]) == {"scheduleTime", "dispatchTime"}


def test_run_is_sent_beside_an_attempt_that_is_under_way(lab: Any) -> None:
    """Both are counted; the failure of one and the success of the other end the task once."""

    async def scenario() -> Any:
        async with lab(retry=RETRY) as cloud:
            cloud.target.gate.clear()
            cloud.target.script = [web.Response(status=500), web.Response(status=200)]
            await cloud.create({"name": f"{cloud.queue}/tasks/t1"})
            await cloud.until(lambda: cloud.target.open_now == 1)
            _, answer = await cloud.call("POST", f"{cloud.queue}/tasks/t1:run", {})
            await cloud.until(lambda: cloud.target.open_now == 2)
            cloud.target.gate.set()
            await cloud.attempts(2)
            return answer["dispatchCount"], await cloud.task_ids()

    assert asyncio.run(scenario()) == (2, [])


def test_failed_run_waits_the_retry_delay_from_the_call(lab: Any) -> None:
    """After a failed RunTask the schedule time is the call plus the retry delay."""

    async def scenario() -> Any:
        async with lab(retry=RETRY) as cloud:
            cloud.target.script = [web.Response(status=500)]
            start = cloud.clock.now()
            await cloud.create({"name": f"{cloud.queue}/tasks/t1", "scheduleTime": "2023-11-20T00:00:00Z"})
            await cloud.call("POST", f"{cloud.queue}/tasks/t1:run", {})
            await cloud.attempts(1)
            return cloud.server.store.task(f"{cloud.queue}/tasks/t1").schedule_time - start

    assert asyncio.run(scenario()) == 10


def test_deleted_task_in_flight_is_not_retried(lab: Any) -> None:
    """The failure of an attempt whose task was deleted is dropped."""

    async def scenario() -> Any:
        async with lab() as cloud:
            cloud.target.script = [web.Response(status=500)]
            cloud.target.gate.clear()
            await cloud.create({"name": f"{cloud.queue}/tasks/t1"})
            await cloud.until(lambda: cloud.target.open_now == 1)
            await cloud.call("DELETE", f"{cloud.queue}/tasks/t1")
            cloud.target.gate.set()
            await cloud.attempts(1)
            await cloud.clock.advance(3600)
            return len(cloud.target.requests), await cloud.task_ids()

    assert asyncio.run(scenario()) == (1, [])


def test_oidc_token_is_minted_once_for_many_dispatches(lab: Any) -> None:
    """The audience defaults to the task's URL, and a fresh token is reused."""

    async def scenario() -> Any:
        async with lab() as cloud:
            for _ in range(3):
                await cloud.create(oidcToken={"serviceAccountEmail": "t@demo"})
            await cloud.create(oidcToken={"serviceAccountEmail": "t@demo", "audience": "https://root"})
            await cloud.attempts(4)
            return cloud.minted, {r["headers"]["Authorization"] for r in cloud.target.requests}, cloud.target.url

    minted, sent, url = asyncio.run(scenario())

    assert minted == [("t@demo", f"{url}/work"), ("t@demo", "https://root")]
    assert sent == {"Bearer token-1", "Bearer token-2"}


def test_url_rewrite_reaches_a_local_server_and_keeps_the_audience(lab: Any) -> None:
    """A task for a production address goes to its local stand-in; the token is still for the production address."""

    async def scenario() -> Any:
        async with lab(stand_in_for="https://svc.run.app") as cloud:
            await cloud.create(url="https://svc.run.app/x", oidcToken={"serviceAccountEmail": "t@demo"})
            await cloud.attempts(1)
            return cloud.minted, cloud.target.requests[0]["path"]

    assert asyncio.run(scenario()) == ([("t@demo", "https://svc.run.app/x")], "/x")


def test_redirect_to_google_fails_the_attempt(lab: Any) -> None:
    """Nothing that localcloud runs reaches Google, wherever a target sends it."""

    async def scenario() -> Any:
        async with lab(retry=RetryConfig(min_backoff_s=10)) as cloud:
            cloud.target.script = [web.Response(status=307, headers={"Location": "https://storage.googleapis.com/x"})]
            _, task = await cloud.create()
            await cloud.attempts(1)
            return await cloud.call("GET", task["name"])

    _, task = asyncio.run(scenario())

    assert task["lastAttempt"]["responseStatus"]["message"].endswith("localcloud sends nothing to Google")
