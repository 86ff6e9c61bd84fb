"""The scheduler's port: the Cloud Scheduler v1 methods on jobs that exist, and the instrument panel.

Jobs come from the schedules file, so the methods that make, change or delete them are refused.

Source: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from localcloud.core.clock import Clock
from localcloud.core.control import PREFIX, Control
from localcloud.core.faults import ConnectionLostError, FaultPlan
from localcloud.core.google_errors import GoogleError, failed_precondition, invalid_argument, not_found, unimplemented
from localcloud.core.hang_up import hang_up
from localcloud.core.json_values import duration_to_json, timestamp_to_json
from localcloud.scheduler.engine.jobs import DISPATCH, Job, Scheduler

log = logging.getLogger("localcloud.scheduler")

_PATH = re.compile(r"/v1/(?P<parent>projects/[^/]+/locations/[^/]+)/jobs(?:/(?P<job>[^/:]+)(?::(?P<verb>[a-z]+))?)?")
_ROUTES: dict[tuple[str, bool, str], str] = {
    # method, whether a job is named, verb
    ("GET", False, ""): "jobs.list",
    ("POST", False, ""): "jobs.create",
    ("GET", True, ""): "jobs.get",
    ("PATCH", True, ""): "jobs.patch",
    ("DELETE", True, ""): "jobs.delete",
    ("POST", True, "run"): "jobs.run",
    ("POST", True, "pause"): "jobs.pause",
    ("POST", True, "resume"): "jobs.resume",
}
_REFUSED = frozenset({"jobs.create", "jobs.patch", "jobs.delete"})
ROUTES = frozenset({*_ROUTES.values(), DISPATCH})
"""Ids of all routes: what faults are ordered for."""

Json = dict[str, Any]


class SchedulerServer:
    """The port of a scheduler, which it starts and stops with itself."""

    def __init__(self, scheduler: Scheduler, faults: FaultPlan, clock: Clock, *, host: str) -> None:
        self.scheduler = scheduler
        self._faults = faults
        self._control = Control(faults, clock, scheduler.reset)
        self._host = host
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        self.port = 0
        """Where it listens, once started."""

    @property
    def base_url(self) -> str:
        """The REST base URL without a trailing slash."""
        return f"http://{self._host}:{self.port}"

    async def start(self, port: int) -> None:
        """Open the port (0 picks a free one) and begin to wait for due times.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = int(self._runner.addresses[0][1])
        await self.scheduler.start()

    async def stop(self) -> None:
        """Close the port and cancel calls on their way."""
        await self._runner.cleanup()
        await self.scheduler.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.path.startswith(PREFIX):
                return web.json_response(await self._control.answer(request.method, request.path, await _body(request)))
            return web.json_response(await self._answer(request))
        except ConnectionLostError:
            return hang_up(request)
        except GoogleError as error:
            return web.json_response(error.to_json(), status=error.http_code)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            broken = GoogleError("INTERNAL", "The emulator failed; its log holds the cause.")
            return web.json_response(broken.to_json(), status=broken.http_code)

    async def _answer(self, request: web.BaseRequest) -> Json:
        path = _PATH.fullmatch(unquote(request.path))
        route = _ROUTES.get((request.method, path["job"] is not None, path["verb"] or "")) if path else None
        if path is None or route is None:
            raise not_found(f"{request.method} {request.path} was not found on this server.")
        name = f"{path['parent']}/jobs/{path['job']}" if path["job"] else f"{path['parent']}/jobs"
        return await self._faults.run(route, name, "rest", lambda: self._act(route, name))

    def _act(self, route: str, name: str) -> Json:
        if route in _REFUSED:
            raise unimplemented(f"localcloud does not emulate {route}: jobs come from the schedules file.")
        if route == "jobs.list":
            return {"jobs": [_job_json(job) for key, job in self.scheduler.jobs.items() if key.startswith(f"{name}/")]}
        job = self.scheduler.jobs.get(name)
        if job is None:
            raise not_found(f"Job not found: '{name}'")
        match route:
            case "jobs.run":
                self.scheduler.run(job)
            case "jobs.pause" | "jobs.resume":
                is_pause = route == "jobs.pause"
                if job.is_paused == is_pause:
                    raise failed_precondition(f"Job '{name}' is {_state(job)}: {route} is for the other state.")
                job.is_paused = is_pause
        return _job_json(job)


async def _body(request: web.BaseRequest) -> Any:
    content = await request.read()
    try:
        return json.loads(content) if content else {}
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"Invalid JSON payload received. {error}") from None


def _state(job: Job) -> str:
    return "PAUSED" if job.is_paused else "ENABLED"


def _job_json(job: Job) -> Json:
    """Return a Job resource; a paused one has no next time."""
    schedule = job.schedule
    answer: Json = {
        "name": job.name,
        "schedule": schedule.cron,
        "timeZone": schedule.time_zone,
        "state": _state(job),
        "attemptDeadline": duration_to_json(schedule.attempt_deadline_s),
        "httpTarget": {
            "uri": job.url,
            "httpMethod": schedule.http_method,
            "oidcToken": {"serviceAccountEmail": job.email, "audience": job.audience},
        },
    }
    if job.next_time is not None and not job.is_paused:
        answer["scheduleTime"] = timestamp_to_json(job.next_time)
    if job.last_attempt_time is not None:
        answer["lastAttemptTime"] = timestamp_to_json(job.last_attempt_time)
    if job.status is not None:
        answer["status"] = {"code": job.status} if job.status else {}
    return answer
