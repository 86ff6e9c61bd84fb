"""Calls HTTP targets by cron, with an OIDC token.

As in production a job whose call is still running is not started again: a time that passes meanwhile is late by as
much. A failed call waits for the next time (retry count 0).

Source: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from localcloud.core.clock import Clock
from localcloud.core.config_fields import ConfigError
from localcloud.core.faults import ConnectionLostError, Fault, FaultPlan, OrderedFaultError
from localcloud.core.http_status import DEADLINE_EXCEEDED, UNAVAILABLE, is_success, rpc_code_from_http
from localcloud.scheduler.model import Schedule

log = logging.getLogger("localcloud.scheduler")

DISPATCH = "jobs.dispatch"
"""Id of the route on which calls go out, for faults."""


@dataclass(slots=True)
class Job:
    """A schedule and what became of it; `status` is the google.rpc code of the last call, None before the first."""

    name: str
    schedule: Schedule
    url: str
    email: str
    audience: str
    is_paused: bool
    next_time: float | None = None
    last_attempt_time: float | None = None
    status: int | None = None
    is_calling: asyncio.Lock = field(default_factory=asyncio.Lock)


class Scheduler:
    """Runs schedules until stopped.

    Args:
        schedules: the jobs.
        parent: `projects/P/locations/L`, which their names begin with.
        clock: when they are due, and the attempt deadline.
        service_urls: service name to base URL without a trailing slash.
        emails: service account name to email.
        mint_id_token: `(email, audience)` to a signed identity token; the audience is the service's base URL.
        faults: what is ordered for the route `jobs.dispatch` happens to the calls.
        paused: jobs wait to be run or resumed.

    Raises:
        ConfigError: a schedule names a service or an account that is not known.
    """

    def __init__(
        self,
        schedules: Sequence[Schedule],
        *,
        parent: str,
        clock: Clock,
        service_urls: Mapping[str, str],
        emails: Mapping[str, str],
        mint_id_token: Callable[[str, str], str],
        faults: FaultPlan,
        paused: bool = False,
    ) -> None:
        for schedule in schedules:
            if schedule.service not in service_urls:
                raise ConfigError(f"schedule '{schedule.name}': no service '{schedule.service}' is known")
            if schedule.service_account not in emails:
                raise ConfigError(f"schedule '{schedule.name}': no account '{schedule.service_account}' is known")
        self._schedules = tuple(schedules)
        self._parent = parent
        self._clock = clock
        self._service_urls = service_urls
        self._emails = emails
        self._mint_id_token = mint_id_token
        self._faults = faults
        self._begins_paused = paused
        self._session: aiohttp.ClientSession | None = None
        self._running: set[asyncio.Task[None]] = set()
        self.jobs = self._fresh_jobs()
        """The jobs by their full names."""

    async def start(self) -> None:
        """Begin to wait for the first due times."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._begin()

    async def stop(self) -> None:
        """Cancel what is running and start nothing more."""
        await self._end()
        if self._session is not None:
            await self._session.close()

    async def reset(self) -> None:
        """Cancel what is running and begin anew: no job has run, and as many are paused as at the start."""
        await self._end()
        self.jobs = self._fresh_jobs()
        self._begin()

    def run(self, job: Job) -> None:
        """Call a job's target now, paused or not; when a call of it is under way, after that."""
        self._keep(self._call(job, self._clock.now()), f"run of {job.name}")

    def _fresh_jobs(self) -> dict[str, Job]:
        jobs = {}
        for schedule in self._schedules:
            audience = self._service_urls[schedule.service]
            name = f"{self._parent}/jobs/{schedule.name}"
            jobs[name] = Job(
                name=name,
                schedule=schedule,
                url=audience + schedule.path,
                email=self._emails[schedule.service_account],
                audience=audience,
                is_paused=self._begins_paused,
            )
        return jobs

    def _begin(self) -> None:
        for job in self.jobs.values():
            self._keep(self._run_forever(job), job.name)

    def _keep(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.get_running_loop().create_task(_logged(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _end(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run_forever(self, job: Job) -> None:
        after = self._clock.now()
        while True:
            job.next_time = due = job.schedule.next_time(after)
            await self._clock.sleep(max(0.0, due - self._clock.now()))
            # What came due during the last call is late, but of several such times only the first counts.
            after = max(due, self._clock.now())
            if not job.is_paused:
                await _logged(self._call(job, due), job.name)

    async def _call(self, job: Job, due: float) -> None:
        async with job.is_calling:
            job.last_attempt_time = self._clock.now()
            job.status = await self._attempt(job, due)

    async def _attempt(self, job: Job, due: float) -> int:
        """Call the target with what is ordered for it and return the google.rpc code that it comes to."""
        try:
            await self._faults.before(DISPATCH, job.name)
            code = await self._sent_in_time(job, due)
            if self._faults.fires(Fault.DELIVER_TWICE, DISPATCH, job.name) is not None:
                code = await self._sent_in_time(job, due)
            self._faults.after(DISPATCH, job.name)
        except OrderedFaultError as fault:
            code = fault.http_code
        except TimeoutError:
            log.warning("%s: no answer within %.0f s", job.schedule.name, job.schedule.attempt_deadline_s)
            return DEADLINE_EXCEEDED
        except (ConnectionLostError, aiohttp.ClientError, OSError) as error:
            log.warning("%s: %s", job.schedule.name, error)
            return UNAVAILABLE
        if not is_success(code):
            log.warning("%s: answered %d", job.schedule.name, code)
        return rpc_code_from_http(code)

    async def _sent_in_time(self, job: Job, due: float) -> int:
        """Return the HTTP code of the answer.

        Raises:
            TimeoutError: none came before the attempt deadline.
            aiohttp.ClientError, OSError: the connection failed.
        """
        call = asyncio.ensure_future(self._send(job, due))
        deadline = asyncio.ensure_future(self._clock.sleep(job.schedule.attempt_deadline_s))
        try:
            await asyncio.wait({call, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deadline.cancel()
            if not call.done():
                call.cancel()
        await asyncio.wait({call})
        if call.cancelled():
            raise TimeoutError
        return call.result()

    async def _send(self, job: Job, due: float) -> int:
        if self._session is None:
            raise RuntimeError("the scheduler is not started")
        headers = {
            "Authorization": f"Bearer {self._mint_id_token(job.email, job.audience)}",
            "User-Agent": "Google-Cloud-Scheduler",
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": job.schedule.name,
            "X-CloudScheduler-ScheduleTime": datetime.fromtimestamp(due, UTC).isoformat().replace("+00:00", "Z"),
        }
        async with self._session.request(
            job.schedule.http_method, job.url, headers=headers, timeout=aiohttp.ClientTimeout()
        ) as response:
            await response.read()
            return response.status


async def _logged(work: Coroutine[Any, Any, Any], name: str) -> None:
    """Await `work`; a failure of it is logged and goes no further, so that the job stays scheduled."""
    try:
        await work
    except Exception:
        log.exception("%s could not be called; it stays scheduled", name)
