"""The real gcloud against the scheduler's port, as docs/operate.md uses it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from localcloud.core.clock import ManualClock
from localcloud.core.faults import FaultPlan
from localcloud.scheduler.api.rest import ROUTES
from localcloud.scheduler.engine.jobs import Scheduler
from localcloud.scheduler.model import Schedule
from localcloud.scheduler.server import SchedulerServer
from localcloud_process import lonely_gcloud

GCLOUD = shutil.which("gcloud")
PARENT = "projects/demo/locations/us-central1"
SWEEP = Schedule("ingest-sweep", "* * * * *", "Etc/UTC", "ingest", "/internal/sweep", "POST", "scheduler", 60.0)


@asynccontextmanager
async def running(calls: list[str]) -> AsyncIterator[SchedulerServer]:
    """Give a scheduler whose job's target notes the paths it was called at."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        calls.append(request.path)
        return web.Response()

    target = web.ServerRunner(web.Server(handle), shutdown_timeout=0.05)
    await target.setup()
    await web.TCPSite(target, "127.0.0.1", 0).start()
    clock = ManualClock()
    faults = FaultPlan(clock, ROUTES)
    scheduler = Scheduler(
        [SWEEP],
        parent=PARENT,
        clock=clock,
        service_urls={"ingest": f"http://127.0.0.1:{target.addresses[0][1]}"},
        emails={"scheduler": "scheduler@demo.iam.gserviceaccount.com"},
        mint_id_token="{} {}".format,
        faults=faults,
    )
    server = SchedulerServer(scheduler, faults, clock, host="127.0.0.1")
    await server.start(0)
    try:
        yield server
    finally:
        await server.stop()
        await target.cleanup()


def gcloud(url: str, home: Path, *words: str) -> Any:
    """Run `gcloud scheduler jobs ...` against the server and return its JSON output."""
    assert GCLOUD is not None
    done = subprocess.run(
        [GCLOUD, "scheduler", "jobs", *words, "--location=us-central1", "--format=json"],
        env=lonely_gcloud(home, CLOUDSCHEDULER=url),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "null")


def test_gcloud_pauses_runs_lists_and_resumes_a_job(tmp_path: Path) -> None:
    """A paused job runs when told to; the list shows its state and that the call succeeded."""
    if GCLOUD is None:
        pytest.skip("gcloud is not installed")
    calls: list[str] = []

    async def scenario() -> list[Any]:
        async with running(calls) as server:
            told = [("pause", "ingest-sweep"), ("run", "ingest-sweep"), ("list",), ("resume", "ingest-sweep")]
            answers = [await asyncio.to_thread(gcloud, server.base_url, tmp_path, *words) for words in told]
            return [*answers, await asyncio.to_thread(gcloud, server.base_url, tmp_path, "describe", "ingest-sweep")]

    _, _, listed, _, described = asyncio.run(scenario())

    assert calls == ["/internal/sweep"]
    assert [(job["name"], job["state"], job["status"]) for job in listed] == [
        (f"{PARENT}/jobs/ingest-sweep", "PAUSED", {})
    ]
    assert described["state"] == "ENABLED"
