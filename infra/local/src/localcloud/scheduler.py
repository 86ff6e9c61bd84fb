"""A Cloud Scheduler look-alike: calls HTTP targets by cron, with an OIDC token.

Schedules are data (`schedules:` of a YAML file) shared with Terraform. As in production a job whose call is still
running is not started again, and a failed call waits for the next time (retry count 0).

Source: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import aiohttp
from cronsim import CronSim, CronSimError

from localcloud.clock import Clock
from localcloud.fields import ConfigError, Fields, read_yaml
from localcloud.google_errors import GoogleError
from localcloud.tasks.json_values import duration_from_json

log = logging.getLogger("localcloud.scheduler")

_METHODS = ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
_DEFAULT_DEADLINE = "180s"
_SHORTEST_DEADLINE_S, _LONGEST_DEADLINE_S = 15.0, 1800.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """One job: `service` and `service_account` are names that the environment turns into an address and an email."""

    name: str
    cron: str
    time_zone: str
    service: str
    path: str
    http_method: str
    service_account: str
    attempt_deadline_s: float

    def next_time(self, now: float) -> float:
        """Return the first scheduled time after `now`, in seconds since the epoch."""
        moment = datetime.fromtimestamp(now, ZoneInfo(self.time_zone))
        return float(next(CronSim(self.cron, moment)).timestamp())


def load_schedules(path: Path) -> list[Schedule]:
    """Return the schedules of a file.

    Raises:
        ConfigError: names file, place and fault.
    """
    top = read_yaml(path)
    schedules = [_schedule(fields) for fields in top.sections("schedules")]
    top.finish()
    names = [schedule.name for schedule in schedules]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: the schedule '{name}' is defined twice")
    return schedules


class Scheduler:
    """Runs schedules until stopped.

    Args:
        schedules: the jobs.
        clock: when they are due, and the attempt deadline.
        service_urls: service name to base URL without a trailing slash.
        emails: service account name to email.
        mint_id_token: `(email, audience)` to a signed identity token; the audience is the service's base URL.

    Raises:
        ConfigError: a schedule names a service or an account that is not known.
    """

    def __init__(
        self,
        schedules: Sequence[Schedule],
        *,
        clock: Clock,
        service_urls: Mapping[str, str],
        emails: Mapping[str, str],
        mint_id_token: Callable[[str, str], str],
    ) -> None:
        for schedule in schedules:
            if schedule.service not in service_urls:
                raise ConfigError(f"schedule '{schedule.name}': no service '{schedule.service}' is known")
            if schedule.service_account not in emails:
                raise ConfigError(f"schedule '{schedule.name}': no account '{schedule.service_account}' is known")
        self._schedules = {schedule.name: schedule for schedule in schedules}
        self._clock = clock
        self._service_urls = service_urls
        self._emails = emails
        self._mint_id_token = mint_id_token
        self._session: aiohttp.ClientSession | None = None
        self._jobs: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to wait for the first due times."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._jobs = [asyncio.create_task(self._run_forever(schedule)) for schedule in self._schedules.values()]

    async def stop(self) -> None:
        """Cancel what is running and start nothing more."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self._jobs.clear()
        if self._session is not None:
            await self._session.close()

    async def run_now(self, name: str) -> int | None:
        """Call one job's target now and return the HTTP code, None when nothing answered in time.

        Raises:
            KeyError: no such schedule.
        """
        return await self._call(self._schedules[name], self._clock.now())

    async def _run_forever(self, schedule: Schedule) -> None:
        while True:
            due = schedule.next_time(self._clock.now())
            await self._clock.sleep(due - self._clock.now())
            try:
                await self._call(schedule, due)
            except Exception:
                log.exception("%s could not be called; it stays scheduled", schedule.name)

    async def _call(self, schedule: Schedule, due: float) -> int | None:
        if self._session is None:
            raise RuntimeError("the scheduler is not started")
        base_url = self._service_urls[schedule.service]
        token = self._mint_id_token(self._emails[schedule.service_account], base_url)
        headers = {
            "Authorization": f"Bearer {token}",
            "User-Agent": "Google-Cloud-Scheduler",
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": schedule.name,
            "X-CloudScheduler-ScheduleTime": datetime.fromtimestamp(due, UTC).isoformat().replace("+00:00", "Z"),
        }
        call = asyncio.ensure_future(self._send(schedule.http_method, base_url + schedule.path, headers))
        deadline = asyncio.ensure_future(self._clock.sleep(schedule.attempt_deadline_s))
        try:
            await asyncio.wait({call, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deadline.cancel()
            if not call.done():
                call.cancel()
        await asyncio.wait({call})
        if call.cancelled():
            log.warning("%s: no answer within %.0f s", schedule.name, schedule.attempt_deadline_s)
            return None
        if call.exception() is not None:
            log.warning("%s: %s", schedule.name, call.exception())
            return None
        code = call.result()
        if not 200 <= code < 300:
            log.warning("%s: answered %d", schedule.name, code)
        return code

    async def _send(self, method: str, url: str, headers: Mapping[str, str]) -> int:
        if self._session is None:
            raise RuntimeError("the scheduler is not started")
        async with self._session.request(method, url, headers=headers, timeout=aiohttp.ClientTimeout()) as response:
            await response.read()
            return response.status


def _schedule(fields: Fields) -> Schedule:
    method = fields.text("http_method", "POST")
    if method not in _METHODS:
        raise fields.error("http_method", f"expected one of {', '.join(_METHODS)}, found {method!r}")
    time_zone = fields.text("time_zone", "Etc/UTC")
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise fields.error("time_zone", f"no time zone {time_zone!r} is known") from error
    cron = fields.text("cron")
    try:
        CronSim(cron, datetime(2026, 1, 1, tzinfo=zone))
    except CronSimError as error:
        raise fields.error("cron", f"{cron!r} is not a cron expression: {error}") from error
    path = fields.text("path")
    if not path.startswith("/"):
        raise fields.error("path", f"must start with '/', found {path!r}")
    try:
        deadline_s = duration_from_json(fields.text("attempt_deadline", _DEFAULT_DEADLINE), place="attempt_deadline")
    except GoogleError as error:
        raise fields.error("attempt_deadline", error.message) from error
    if not _SHORTEST_DEADLINE_S <= deadline_s <= _LONGEST_DEADLINE_S:
        raise fields.error("attempt_deadline", "must be between 15s and 1800s")
    schedule = Schedule(
        name=fields.text("name"),
        cron=cron,
        time_zone=time_zone,
        service=fields.text("service"),
        path=path,
        http_method=method,
        service_account=fields.text("service_account"),
        attempt_deadline_s=deadline_s,
    )
    fields.finish()
    return schedule
