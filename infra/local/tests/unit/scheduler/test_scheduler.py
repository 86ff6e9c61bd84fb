"""The Cloud Scheduler look-alike: due times, and what its port answers."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from localcloud.core.clock import ManualClock
from localcloud.core.config_fields import ConfigError
from localcloud.core.faults import FaultPlan
from localcloud.scheduler.api.rest import ROUTES
from localcloud.scheduler.engine.jobs import DISPATCH, Job, Scheduler
from localcloud.scheduler.model import Schedule
from localcloud.scheduler.schedules_file import load_schedules
from localcloud.scheduler.server import SchedulerServer

SCHEDULES = """
schedules:
  - {name: first-sweep, cron: "* * * * *", time_zone: Etc/UTC, service: first, path: /sweep, http_method: POST,
     service_account: clock, attempt_deadline: 60s}
  - {name: second-sweep, cron: "* * * * *", time_zone: Etc/UTC, service: second, path: /sweep, http_method: POST,
     service_account: clock, attempt_deadline: 60s}
"""
PARENT = "projects/demo/locations/us-central1"
NAME = f"{PARENT}/jobs/sweep"
SWEEP = Schedule("sweep", "* * * * *", "Etc/UTC", "shop", "/internal/sweep", "POST", "clock", 60.0)
EMAILS = {"clock": "clock@demo"}
UNAVAILABLE, DEADLINE_EXCEEDED = 14, 4


class World:
    """A scheduler with one job behind its port, and the target that it calls."""

    def __init__(self, url: str, *, paused: bool) -> None:
        self.target_url = url
        self.clock = ManualClock()
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        faults = FaultPlan(self.clock, ROUTES, route_of={"job": DISPATCH})
        self.scheduler = Scheduler(
            [SWEEP],
            parent=PARENT,
            clock=self.clock,
            service_urls={"shop": url},
            emails=EMAILS,
            mint_id_token=lambda email, audience: f"{email} {audience}",
            faults=faults,
            paused=paused,
        )
        self.server = SchedulerServer(self.scheduler, faults, self.clock, host="127.0.0.1")

    @property
    def job(self) -> Job:
        """The job as it is now."""
        return self.scheduler.jobs[NAME]

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make one request to the port and return status and JSON."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.server.base_url}/{path}", json=body) as response,
        ):
            return response.status, await response.json()

    async def run(self, fault: dict[str, Any] | None = None) -> None:
        """Run the job over the API, with a fault ordered for it, and return when its call has ended."""
        if fault is not None:
            assert (await self.ask("POST", "_local/faults", {"job": "sweep", **fault}))[0] == 200
        status, _ = await self.ask("POST", f"v1/{NAME}:run", {})
        assert status == 200
        await until(lambda: self.job.status is not None)


@asynccontextmanager
async def running(*, answer: int = 200, paused: bool = False) -> AsyncIterator[World]:
    """Give a world whose target answers that code; a negative answer never comes."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        world.calls.append((request.method, request.path, dict(request.headers)))
        if answer < 0:
            await asyncio.Event().wait()
        return web.Response(status=answer)

    target = web.ServerRunner(web.Server(handle), shutdown_timeout=0.05)
    await target.setup()
    await web.TCPSite(target, "127.0.0.1", 0).start()
    world = World(f"http://127.0.0.1:{target.addresses[0][1]}", paused=paused)
    await world.server.start(0)
    try:
        yield world
    finally:
        await world.server.stop()
        await target.cleanup()


async def until(condition: Callable[[], bool]) -> None:
    """Return when another party has made the condition true."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is about another party
            await asyncio.sleep(0.002)


async def test_job_is_called_at_every_due_time_with_a_token() -> None:
    """Every full minute, as the schedule's account, for the service's root URL."""
    async with running() as world:
        await world.clock.advance(39)  # 22:13:20 to 22:13:59
        early = len(world.calls)
        await world.clock.advance(2)
        await until(lambda: len(world.calls) == 1 and world.clock.sleeper_count == 1)
        await world.clock.advance(60)
        await until(lambda: len(world.calls) == 2)

    method, path, headers = world.calls[0]
    assert (early, method, path) == (0, "POST", "/internal/sweep")
    assert headers["Authorization"] == f"Bearer clock@demo {world.target_url}"
    assert headers["X-CloudScheduler-ScheduleTime"] == "2023-11-14T22:14:00Z"
    assert world.calls[1][2]["X-CloudScheduler-ScheduleTime"] == "2023-11-14T22:15:00Z"


async def test_time_that_comes_due_during_a_call_is_late() -> None:
    """Two calls are never under way at once; the second begins when the first has ended, by its deadline here."""
    async with running(answer=-1) as world:
        await world.clock.advance(40)
        await until(lambda: len(world.calls) == 1)
        await world.clock.advance(59)
        during = len(world.calls)
        await world.clock.advance(1)
        await until(lambda: len(world.calls) == 2)

    assert during == 1
    assert world.calls[1][2]["X-CloudScheduler-ScheduleTime"] == "2023-11-14T22:15:00Z"


async def test_job_without_answer_is_given_up_at_its_deadline() -> None:
    """The attempt deadline frees the job for its next time."""
    async with running(answer=-1, paused=True) as world:
        world.scheduler.run(world.job)
        await until(lambda: len(world.calls) == 1)
        await world.clock.advance(59)
        waiting = world.job.status
        await world.clock.advance(1)
        await until(lambda: world.job.status is not None)

    assert (waiting, world.job.status) == (None, DEADLINE_EXCEEDED)


async def test_job_resource_has_googles_fields() -> None:
    """Before its first call there is no attempt and no status; a failed call leaves the target's code."""
    async with running(answer=503) as world:
        _, fresh = await world.ask("GET", f"v1/{NAME}")
        await world.run()
        _, listed = await world.ask("GET", f"v1/{PARENT}/jobs")

    assert fresh == {
        "name": NAME,
        "schedule": "* * * * *",
        "timeZone": "Etc/UTC",
        "state": "ENABLED",
        "attemptDeadline": "60s",
        "httpTarget": {
            "uri": f"{world.target_url}/internal/sweep",
            "httpMethod": "POST",
            "oidcToken": {"serviceAccountEmail": "clock@demo", "audience": world.target_url},
        },
        "scheduleTime": "2023-11-14T22:14:00Z",
    }
    ran = {"lastAttemptTime": "2023-11-14T22:13:20Z", "status": {"code": UNAVAILABLE}}
    assert listed == {"jobs": [fresh | ran]}


async def test_paused_job_runs_only_when_told() -> None:
    """Its due times pass; `run` calls it all the same, `resume` lets the next time count."""
    async with running() as world:
        paused = await world.ask("POST", f"v1/{NAME}:pause", {})
        await world.clock.advance(60)
        while_paused = len(world.calls)
        await world.run()
        resumed = await world.ask("POST", f"v1/{NAME}:resume", {})
        again = await world.ask("POST", f"v1/{NAME}:resume", {})
        await world.clock.advance(60)
        await until(lambda: len(world.calls) == 2)

    assert (paused[1]["state"], while_paused, resumed[1]["state"]) == ("PAUSED", 0, "ENABLED")
    assert (again[0], again[1]["error"]["status"]) == (400, "FAILED_PRECONDITION")


@pytest.mark.parametrize(
    ("fault", "calls", "status"),
    [
        ({"fault": "fail", "code": 500}, 0, 13),
        ({"fault": "lose"}, 0, UNAVAILABLE),
        ({"fault": "drop-response"}, 1, UNAVAILABLE),
        ({"fault": "deliver-twice"}, 2, 0),
    ],
    ids=["fail", "lose", "drop-response", "deliver-twice"],
)
async def test_fault_on_a_call_happens_once_and_is_counted(fault: dict[str, Any], calls: int, status: int) -> None:
    """An order for a job means its calls; the target and the job each see what the fault says."""
    async with running(paused=True) as world:
        await world.run(fault)
        _, ordered = await world.ask("GET", "_local/faults")

    assert (len(world.calls), world.job.status) == (calls, status)
    assert [(order["route"], order["left"], order["fired"]) for order in ordered["faults"]] == [(DISPATCH, 0, 1)]


async def test_delayed_call_waits_on_the_clock() -> None:
    """The target hears of it `delay_s` later."""
    async with running(paused=True) as world:
        await world.ask("POST", "_local/faults", {"job": "sweep", "fault": "delay", "delay_s": 5})
        await world.ask("POST", f"v1/{NAME}:run", {})
        await world.clock.advance(4)
        early = len(world.calls)
        await world.clock.advance(1)
        await until(lambda: world.job.status == 0)

    assert (early, len(world.calls)) == (0, 1)


async def test_every_route_of_the_port_fails_on_order() -> None:
    """A teapot that no API knows comes from each; the routes are those that it lists."""
    requests = {
        "jobs.list": ("GET", f"v1/{PARENT}/jobs"),
        "jobs.create": ("POST", f"v1/{PARENT}/jobs"),
        "jobs.get": ("GET", f"v1/{NAME}"),
        "jobs.patch": ("PATCH", f"v1/{NAME}"),
        "jobs.delete": ("DELETE", f"v1/{NAME}"),
        "jobs.run": ("POST", f"v1/{NAME}:run"),
        "jobs.pause": ("POST", f"v1/{NAME}:pause"),
        "jobs.resume": ("POST", f"v1/{NAME}:resume"),
    }
    async with running(paused=True) as world:
        listed = (await world.ask("GET", "_local/routes"))[1]["routes"]
        ordered = {}
        for route, (method, path) in requests.items():
            await world.ask("POST", "_local/faults", {"route": route, "fault": "fail", "code": 418})
            ordered[route] = (await world.ask(method, path))[0]

    assert set(listed) == {*requests, DISPATCH}
    assert ordered == dict.fromkeys(requests, 418)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", f"v1/{PARENT}/jobs"), ("PATCH", f"v1/{NAME}"), ("DELETE", f"v1/{NAME}")]
)
async def test_changes_to_jobs_are_refused(method: str, path: str) -> None:
    """Jobs come from the file; the answer says so and the job stays."""
    async with running(paused=True) as world:
        status, answer = await world.ask(method, path, {})
        still_there = await world.ask("GET", f"v1/{NAME}")

    assert (status, answer["error"]["status"], still_there[0]) == (501, "UNIMPLEMENTED", 200)
    assert "jobs come from the schedules file" in answer["error"]["message"]


async def test_reset_forgets_calls_pauses_and_faults() -> None:
    """A call on its way is cancelled, and the jobs wait for their times again."""
    async with running(answer=-1) as world:
        await world.ask("POST", f"v1/{NAME}:pause", {})
        await world.ask("POST", "_local/faults", {"route": "jobs.get", "fault": "lose", "count": 9})
        world.scheduler.run(world.job)
        await until(lambda: len(world.calls) == 1)
        reset = await world.ask("POST", "_local/reset", {})
        _, job = await world.ask("GET", f"v1/{NAME}")
        await world.clock.advance(60)
        await until(lambda: len(world.calls) == 2)

    assert reset == (200, {})
    assert (job["state"], "lastAttemptTime" in job, "status" in job) == ("ENABLED", False, False)


def test_cron_follows_its_time_zone() -> None:
    """09:00 in Berlin is 08:00 UTC in winter."""
    schedule = dataclasses.replace(SWEEP, cron="0 9 * * *", time_zone="Europe/Berlin")

    assert schedule.next_time(1_700_000_000.0) == 1_700_035_200.0  # 2023-11-15T08:00:00Z


@pytest.mark.parametrize(
    ("change", "fault"),
    [({"service": "mine"}, "no service 'mine'"), ({"service_account": "me"}, "no account 'me'")],
    ids=["service", "account"],
)
def test_schedule_for_something_unknown_is_refused(change: Any, fault: str) -> None:
    """A job must have somewhere to go and someone to be."""
    with pytest.raises(ConfigError, match=f"schedule 'sweep': {fault}"):
        Scheduler(
            [dataclasses.replace(SWEEP, **change)],
            parent=PARENT,
            clock=ManualClock(),
            service_urls={"shop": "http://x"},
            emails=EMAILS,
            mint_id_token="{} {}".format,
            faults=FaultPlan(ManualClock(), ROUTES),
        )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"* * * * *"', '"61 * * * *"', r"schedules\[0\]\.cron: '61 \* \* \* \*' is not a cron expression"),
        ("Etc/UTC", "Mars/Base", r"schedules\[0\]\.time_zone: no time zone 'Mars/Base'"),
        ("path: /", "path: ", r"schedules\[0\]\.path: must start with '/'"),
        ("POST", "BREW", r"schedules\[0\]\.http_method: expected one of POST"),
        ("60s", "1s", r"schedules\[0\]\.attempt_deadline: must be between 15s and 1800s"),
        ("second-sweep", "first-sweep", "the schedule 'first-sweep' is defined twice"),
        ("time_zone", "timezone", r"schedules\[0\]: unknown 'timezone'; known are"),
    ],
    ids=["cron", "zone", "path", "method", "deadline", "twice", "unknown"],
)
def test_fault_in_the_file_is_named_with_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """A file that is right but for one place."""
    (tmp_path / "schedules.yaml").write_text(SCHEDULES.replace(old, new))

    with pytest.raises(ConfigError, match=fault):
        load_schedules(tmp_path / "schedules.yaml")


def test_schedules_of_a_file_are_read_in_order(tmp_path: Path) -> None:
    """Every one of them, with its service and its times."""
    (tmp_path / "schedules.yaml").write_text(SCHEDULES)

    assert [(s.name, s.service, s.cron) for s in load_schedules(tmp_path / "schedules.yaml")] == [
        ("first-sweep", "first", "* * * * *"),
        ("second-sweep", "second", "* * * * *"),
    ]
