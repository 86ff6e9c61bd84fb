"""A whole platform on a manual clock: identity, tasks and workflows, each with its instrument panel."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from localcloud.composition import Platform, start_platform
from localcloud.core.clock import Clock, ManualClock
from localcloud.platform_config import PlatformConfig

LOCATION = "projects/demo/locations/us-central1"
ACCOUNT = "workflow@demo.iam.gserviceaccount.com"

ECHO = """
main:
  params: [args]
  steps:
    - answer:
        return: ${args}
"""


@dataclass
class Instruments:
    """The platform and a client for it."""

    platform: Platform
    clock: Clock
    session: aiohttp.ClientSession

    def url(self, server: str) -> str:
        """Return the base URL of `workflows`, `tasks`, `scheduler` or `metadata`."""
        assert self.platform.workflows
        assert self.platform.tasks
        assert self.platform.identity
        assert self.platform.scheduler
        return {
            "workflows": self.platform.workflows.base_url,
            "tasks": self.platform.tasks.base_url,
            "scheduler": self.platform.scheduler.base_url,
            "metadata": f"http://{self.platform.identity.metadata_host(ACCOUNT)}",
        }[server]

    async def call(
        self, server: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Make one request and return status and JSON (or text)."""
        async with self.session.request(
            method, self.url(server) + path, json=body, headers=headers, timeout=aiohttp.ClientTimeout(total=10)
        ) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def order(self, server: str, **fault: Any) -> None:
        """Order a fault."""
        status, answer = await self.call(server, "POST", "/_local/faults", fault)
        assert status == 200, answer

    async def fired(self, server: str) -> list[int]:
        """Return how often each order has fired."""
        _, answer = await self.call(server, "GET", "/_local/faults")
        return [order["fired"] for order in answer["faults"]]


@asynccontextmanager
async def start(
    folder: Path, clock: Clock | None = None, host_names: tuple[str, ...] = ()
) -> AsyncIterator[Instruments]:
    workflows = folder / "workflows"
    workflows.mkdir(exist_ok=True)
    (workflows / "echo.yaml").write_text(ECHO)
    queues = folder / "queues.yaml"
    queues.write_text("queues:\n  - name: q\n")
    schedules = folder / "schedules.yaml"
    schedules.write_text("schedules: []\n")
    config = PlatformConfig(
        project="demo",
        project_number="123456789012",
        location="us-central1",
        accounts={"workflow": ACCOUNT},
        metadata_ports={"workflow": 0},
        workflows_account="workflow",
        workflows_port=0,
        workflows_grpc_port=0,
        tasks_port=0,
        tasks_grpc_port=0,
        workflows_dir=workflows,
        queues_file=queues,
        schedules_file=schedules,
        host_names=host_names,
    )
    time = clock or ManualClock()
    platform = await start_platform(config, time)
    async with aiohttp.ClientSession() as session:
        try:
            yield Instruments(platform, time, session)
        finally:
            await platform.stop()


@pytest.fixture
def instruments(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Instruments]]:
    """Give the starter of a platform; its clock is manual unless another one is given."""
    return lambda clock=None, host_names=(): start(tmp_path, clock, host_names)
