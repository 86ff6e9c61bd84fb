"""Cloud Scheduler v1 over REST: the methods on jobs that exist.

Jobs come from the schedules file, so the methods that make, change or delete them are refused.

Source: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from aiohttp import web

from localcloud.core.faults import FaultPlan
from localcloud.core.google_errors import failed_precondition, not_found, unimplemented
from localcloud.core.json_values import Json
from localcloud.core.rest import json_response
from localcloud.core.times import duration_to_json, timestamp_to_json
from localcloud.scheduler.engine.jobs import DISPATCH, Job, Scheduler

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


class SchedulerRest:
    """Answers the requests of a `RestServer`."""

    def __init__(self, scheduler: Scheduler, faults: FaultPlan) -> None:
        self._scheduler = scheduler
        self._faults = faults

    async def answer(self, request: web.BaseRequest, _body: bytes) -> web.Response:
        """Answer one request; no method that is served reads its body."""
        path = _PATH.fullmatch(unquote(request.path))
        route = _ROUTES.get((request.method, path["job"] is not None, path["verb"] or "")) if path else None
        if path is None or route is None:
            raise not_found(f"{request.method} {request.path} was not found on this server.")
        name = f"{path['parent']}/jobs/{path['job']}" if path["job"] else f"{path['parent']}/jobs"
        return json_response(await self._faults.run(route, name, "rest", lambda: self._act(route, name)))

    def _act(self, route: str, name: str) -> Json:
        if route in _REFUSED:
            raise unimplemented(f"localcloud does not emulate {route}: jobs come from the schedules file.")
        if route == "jobs.list":
            return {"jobs": [_job_json(job) for key, job in self._scheduler.jobs.items() if key.startswith(f"{name}/")]}
        job = self._scheduler.jobs.get(name)
        if job is None:
            raise not_found(f"Job not found: '{name}'")
        match route:
            case "jobs.run":
                self._scheduler.run(job)
            case "jobs.pause" | "jobs.resume":
                is_pause = route == "jobs.pause"
                if job.is_paused == is_pause:
                    raise failed_precondition(f"Job '{name}' is {_state(job)}: {route} is for the other state.")
                job.is_paused = is_pause
        return _job_json(job)


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
