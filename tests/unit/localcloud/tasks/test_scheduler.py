"""The Cloud Scheduler look-alike."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from localcloud.clock import ManualClock
from localcloud.fields import ConfigError
from localcloud.scheduler import Schedule, Scheduler, load_schedules

REPOSITORY = Path(__file__).parents[4]
SWEEP = Schedule("sweep", "* * * * *", "Etc/UTC", "shop", "/internal/sweep", "POST", "clock", 60.0)
EMAILS = {"clock": "clock@demo"}


@asynccontextmanager
async def _running(*schedules, answer=200):
    """Give clock, scheduler and the list of calls its target got; a negative answer never comes."""
    calls = []

    async def handle(request):
        calls.append((request.method, request.path, dict(request.headers)))
        if answer < 0:
            await asyncio.Event().wait()
        return web.Response(status=answer)

    target = web.ServerRunner(web.Server(handle), shutdown_timeout=0.05)
    await target.setup()
    await web.TCPSite(target, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{target.addresses[0][1]}"
    clock = ManualClock()
    scheduler = Scheduler(
        schedules,
        clock=clock,
        service_urls={"shop": url},
        emails=EMAILS,
        mint_id_token=lambda email, audience: f"{email} {audience}",
    )
    await scheduler.start()
    try:
        yield clock, scheduler, calls, url
    finally:
        await scheduler.stop()
        await target.cleanup()


async def _until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is about another party
            await asyncio.sleep(0.002)


def test_job_is_called_at_every_due_time_with_a_token():
    """Every full minute, as the schedule's account, for the service's root URL."""

    async def scenario():
        async with _running(SWEEP) as (clock, _, calls, url):
            await clock.advance(39)  # 22:13:20 to 22:13:59
            early = len(calls)
            await clock.advance(2)
            await _until(lambda: len(calls) == 1)
            await _until(lambda: clock.sleeper_count == 1)
            await clock.advance(60)
            await _until(lambda: len(calls) == 2)
            return early, calls, url

    early, calls, url = asyncio.run(scenario())

    method, path, headers = calls[0]
    assert (early, method, path) == (0, "POST", "/internal/sweep")
    assert headers["Authorization"] == f"Bearer clock@demo {url}"
    assert headers["X-CloudScheduler-ScheduleTime"] == "2023-11-14T22:14:00Z"
    assert calls[1][2]["X-CloudScheduler-ScheduleTime"] == "2023-11-14T22:15:00Z"


def test_job_without_answer_is_given_up_at_its_deadline():
    """The attempt deadline frees the job for its next time."""

    async def scenario():
        async with _running(SWEEP, answer=-1) as (clock, scheduler, calls, _):
            run = asyncio.create_task(scheduler.run_now("sweep"))
            await _until(lambda: len(calls) == 1)
            await clock.advance(30)
            is_waiting = not run.done()
            await clock.advance(31)
            return is_waiting, await run

    assert asyncio.run(scenario()) == (True, None)


def test_failed_job_reports_its_code():
    """A failure is an answer to `run_now`; the job stays scheduled."""

    async def scenario():
        async with _running(SWEEP, answer=503) as (_, scheduler, _, _):
            return await scheduler.run_now("sweep")

    assert asyncio.run(scenario()) == 503


def test_cron_follows_its_time_zone():
    """09:00 in Berlin is 08:00 UTC in winter."""
    schedule = dataclasses.replace(SWEEP, cron="0 9 * * *", time_zone="Europe/Berlin")

    assert schedule.next_time(1_700_000_000.0) == 1_700_035_200.0  # 2023-11-15T08:00:00Z


@pytest.mark.parametrize(
    ("change", "fault"),
    [({"service": "mine"}, "no service 'mine'"), ({"service_account": "me"}, "no account 'me'")],
    ids=["service", "account"],
)
def test_schedule_for_something_unknown_is_refused(change, fault):
    """A job must have somewhere to go and someone to be."""
    with pytest.raises(ConfigError, match=f"schedule 'sweep': {fault}"):
        Scheduler(
            [dataclasses.replace(SWEEP, **change)],
            clock=ManualClock(),
            service_urls={"shop": "http://x"},
            emails=EMAILS,
            mint_id_token="{} {}".format,
        )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"* * * * *"', '"61 * * * *"', r"schedules\[0\]\.cron: '61 \* \* \* \*' is not a cron expression"),
        ("Etc/UTC", "Mars/Base", r"schedules\[0\]\.time_zone: no time zone 'Mars/Base'"),
        ("path: /", "path: ", r"schedules\[0\]\.path: must start with '/'"),
        ("POST", "BREW", r"schedules\[0\]\.http_method: expected one of POST"),
        ("60s", "1s", r"schedules\[0\]\.attempt_deadline: must be between 15s and 1800s"),
        ("reporter-sweep", "ingest-sweep", "the schedule 'ingest-sweep' is defined twice"),
        ("time_zone", "timezone", r"schedules\[0\]: unknown 'timezone'; known are"),
    ],
    ids=["cron", "zone", "path", "method", "deadline", "twice", "unknown"],
)
def test_fault_in_the_file_is_named_with_its_place(tmp_path, old, new, fault):
    """The repository's own file, broken in one place."""
    text = (REPOSITORY / "infra" / "schedules.yaml").read_text()
    (tmp_path / "schedules.yaml").write_text(text.replace(old, new))

    with pytest.raises(ConfigError, match=fault):
        load_schedules(tmp_path / "schedules.yaml")


def test_schedules_of_the_repository_are_valid():
    """Both sweepers run every minute."""
    schedules = load_schedules(REPOSITORY / "infra" / "schedules.yaml")

    assert [(s.name, s.service, s.cron) for s in schedules] == [
        ("ingest-sweep", "ingest", "* * * * *"),
        ("reporter-sweep", "reporter", "* * * * *"),
    ]
