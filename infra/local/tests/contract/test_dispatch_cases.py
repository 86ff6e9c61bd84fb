"""Runs the conformance cases of what Cloud Tasks sends: cases/tasks/dispatch.yaml.

A case may give the `queue`, its `tasks` (one by default), and what the target answers in turn: a code, or `code`,
`headers` and `after_s`; 200 when nothing is left to answer. With `run` the first task is run by RunTask, `pause_s`
keeps the queue paused so long. The clock moves `for_s` seconds by steps of `step_s` (1). Expected are `at`, the second
of each request, `headers` of each (null: absent), the request `lines` if given, and how many tasks are `left`. `HOST`
and `PORT` in a queue are those of the target.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from localcloud.core.clock import ManualClock
from localcloud.tasks.api.methods import CloudTasksApi
from localcloud.tasks.server import TasksServer, start_tasks_server

CASES = Path(__file__).parent / "cases" / "tasks" / "dispatch.yaml"
LOCATION = "projects/demo/locations/us-central1"
QUEUE = f"{LOCATION}/queues/cases"
ALL_CASES = [case for group in yaml.safe_load(CASES.read_text(encoding="utf-8")) for case in group["cases"]]


class Target:
    """A handler that answers from the case and keeps second and headers of every request."""

    def __init__(self, clock: ManualClock, answers: list[Any]) -> None:
        self._clock = clock
        self._answers = list(answers)
        self._began = clock.now()
        self.requests: list[tuple[float, Mapping[str, str]]] = []
        self.lines: list[str] = []
        self.waiting = 0

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request, after its time on the clock."""
        self.requests.append((self._clock.now() - self._began, request.headers))
        self.lines.append(f"{request.method} {request.raw_path} {(await request.read()).decode()}".strip())
        answer = self._answers.pop(0) if self._answers else 200
        if not isinstance(answer, dict):
            answer = {"code": answer}
        if "after_s" in answer:
            self.waiting += 1
            try:
                await self._clock.sleep(answer["after_s"])
            finally:
                self.waiting -= 1
        return web.Response(status=answer["code"], headers=answer.get("headers"))


@asynccontextmanager
async def running(clock: ManualClock, target: Target) -> AsyncIterator[tuple[TasksServer, str]]:
    """Give an emulator and the address of the target."""
    runner = web.ServerRunner(web.Server(target.handle, handler_cancellation=True), shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = await start_tasks_server(
        port=0,
        grpc_port=0,
        clock=clock,
        location="us-central1",
        queues=[],
        mint_id_token=lambda email, audience: f"{email} for {audience}",
        mint_access_token=lambda email, scopes: f"{email} for {scopes}",
    )
    try:
        yield server, f"http://127.0.0.1:{runner.addresses[0][1]}/work"
    finally:
        await server.stop()
        await runner.cleanup()


async def played(case: Mapping[str, Any]) -> tuple[Target, int]:
    """Play a case and return the target and how many tasks are left."""
    clock = ManualClock()
    target = Target(clock, case.get("answers", []))
    async with running(clock, target) as (server, url):
        api = CloudTasksApi(store=server.store, dispatcher=server.dispatcher, clock=clock, location="us-central1")
        api.create_queue(LOCATION, {"name": QUEUE, **with_address(case.get("queue", {}), url)})
        if "pause_s" in case:
            api.pause_queue(QUEUE)
        created = [api.create_task(QUEUE, {"task": task_body(task, url)}) for task in case.get("tasks", [{}])]
        if case.get("run"):
            api.run_task(created[0]["name"], view=None)
        passed_s, step_s = 0, case.get("step_s", 1)
        await digested(server, target)
        while passed_s < case["for_s"]:
            await clock.advance(step_s)
            passed_s += step_s
            if passed_s == case.get("pause_s"):
                api.resume_queue(QUEUE)
            await digested(server, target)
        left = len(api.list_tasks(QUEUE, view=None, page_size=0, page_token="")["tasks"])
    return target, left


def with_address(queue: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return the queue of a case with the target's address in it."""
    host, _, port = url.removeprefix("http://").removesuffix("/work").partition(":")
    filled: dict[str, Any] = json.loads(json.dumps(queue).replace("HOST", host).replace("PORT", port))
    return filled


def task_body(task: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return a task of a case with its full name and its target."""
    body = {**task, "httpRequest": {"url": url, **task.get("httpRequest", {})}}
    if "name" in task:
        body["name"] = f"{QUEUE}/tasks/{task['name']}"
    return body


async def digested(server: TasksServer, target: Target) -> None:
    """Return when every attempt under way waits for the target's clock."""
    async with asyncio.timeout(5):
        while server.dispatcher.in_flight(QUEUE) != target.waiting:  # noqa: ASYNC110 - another party's doing
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in ALL_CASES])
def test_target_hears_what_the_case_says(case: dict[str, Any]) -> None:
    """Requests come at their times with their headers, and as many tasks stay."""
    target, left = asyncio.run(played(case))
    wanted = case.get("headers", [])
    heard = [
        {name: headers.get(name) for name in named}
        for (_, headers), named in zip(target.requests, wanted, strict=bool(wanted))
    ]

    assert ([at for at, _ in target.requests], left) == (case["at"], case["left"])
    assert heard == wanted
    assert "lines" not in case or target.lines == case["lines"]
