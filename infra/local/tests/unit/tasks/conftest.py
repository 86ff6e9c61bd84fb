"""A Cloud Tasks emulator on a manual clock with a scripted target on loopback."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from localcloud.core.clock import ManualClock
from localcloud.tasks.model import Queue, RateLimits, RetryConfig
from localcloud.tasks.server import TasksServer, start_tasks_server

LOCATION = "projects/demo/locations/us-central1"


class Target:
    """A handler that records requests and answers from a script, 200 when the script is over."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.script: list[web.Response] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.open_now = 0
        self.open_most = 0

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Record the request and answer it."""
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            body = await request.read()
            self.requests.append(
                {"method": request.method, "path": request.path, "headers": dict(request.headers), "body": body}
            )
            await self.gate.wait()
            return self.script.pop(0) if self.script else web.Response(status=200)
        finally:
            self.open_now -= 1


class Lab:
    """The emulator, its clock, its target and a REST client."""

    def __init__(self, server: TasksServer, clock: ManualClock, target: Target, client: aiohttp.ClientSession) -> None:
        self.server = server
        self.clock = clock
        self.target = target
        self.client = client
        self.minted: list[tuple[str, Any]] = []
        self.queue = f"{LOCATION}/queues/q"

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make one API call and return status and JSON."""
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        headers = {"Content-Type": "application/json"}
        url = f"{self.server.base_url}/v2/{path}"
        async with self.client.request(method, url, data=data, headers=headers) as response:
            return response.status, await response.json()

    async def create(self, task: dict[str, Any] | None = None, **request: Any) -> tuple[int, Any]:
        """Create a task for the target; keyword arguments are fields of its httpRequest."""
        http_request = {"url": f"{self.target.url}/work"} | request
        return await self.call("POST", f"{self.queue}/tasks", {"task": {"httpRequest": http_request} | (task or {})})

    async def local(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make one call of the emulator's own interface below `/_local`."""
        async with self.client.request(method, f"{self.server.base_url}/_local/{path}", json=body) as response:
            return response.status, await response.json()

    async def task_ids(self) -> list[str]:
        """Return the ids of the tasks that are not done."""
        _, answer = await self.call("GET", f"{self.queue}/tasks")
        return [task["name"].rpartition("/")[2] for task in answer["tasks"]]

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        """Let the loop run until the condition holds."""
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - the condition is about another party
                await asyncio.sleep(0.002)

    async def attempts(self, count: int) -> None:
        """Wait until `count` requests arrived at the target and the emulator has digested every answer."""
        await self.until(lambda: len(self.target.requests) >= count)
        await self.until(lambda: self.server.dispatcher.in_flight(self.queue) == 0)


@asynccontextmanager
async def start_lab(
    *,
    rate: float = 500.0,
    burst: int = 500,
    concurrent: int = 1000,
    retry: RetryConfig | None = None,
    stand_in_for: str = "",
    **options: Any,
) -> AsyncIterator[Lab]:
    clock = ManualClock()
    target = Target()
    runner = web.ServerRunner(web.Server(target.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    minted: list[tuple[str, Any]] = []

    def mint(email: str, wanted: Any) -> str:
        minted.append((email, wanted))
        return f"token-{len(minted)}"

    queue = Queue(f"{LOCATION}/queues/q", RateLimits(rate, burst, concurrent), retry or RetryConfig())
    server = await start_tasks_server(
        port=0,
        grpc_port=0,
        clock=clock,
        location="us-central1",
        queues=[queue],
        mint_id_token=mint,
        mint_access_token=mint,
        url_rewrites={stand_in_for: target.url} if stand_in_for else {},
        **options,
    )
    async with aiohttp.ClientSession() as client:
        lab = Lab(server, clock, target, client)
        lab.minted = minted
        try:
            yield lab
        finally:
            target.gate.set()
            await server.stop()
            await runner.cleanup()


@pytest.fixture
def lab() -> Callable[..., AbstractAsyncContextManager[Lab]]:
    """Give the starter of an emulator that has one queue, named q."""
    return start_lab
