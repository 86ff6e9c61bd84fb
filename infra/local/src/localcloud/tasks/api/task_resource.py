"""Tasks from and to the JSON of the Cloud Tasks API, with every documented limit on a task."""

from __future__ import annotations

import base64
import enum
import re
import secrets
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from localcloud.core.google_errors import invalid_argument, unimplemented
from localcloud.core.json_values import (
    bytes_from_json,
    duration_from_json,
    enum_from_json,
    object_from_json,
    text_from_json,
    timestamp_from_json,
)
from localcloud.core.times import duration_to_json, timestamp_to_json
from localcloud.tasks.api.http_fields import check_headers, check_token_url, token_from_json, token_to_json
from localcloud.tasks.api.names import check_task_name
from localcloud.tasks.api.queue_resource import retry_config_from_json, retry_config_to_json
from localcloud.tasks.engine.overrides import overridden, with_queue_headers
from localcloud.tasks.model import (
    DEFAULT_DISPATCH_DEADLINE_S,
    MAX_DISPATCH_DEADLINE_S,
    MAX_TASK_BYTES,
    MAX_URL_CHARACTERS,
    METHODS_WITH_BODY,
    MIN_DISPATCH_DEADLINE_S,
    SCHEDULE_HORIZON_S,
    USER_AGENT,
    Attempt,
    HttpMethod,
    HttpTarget,
    QueueTarget,
    Task,
)

_OUTPUT_FIELDS = ("createTime", "dispatchCount", "responseCount", "firstAttempt", "lastAttempt", "view")
_FIELDS = (
    "name",
    "httpRequest",
    "appEngineHttpRequest",
    "scheduleTime",
    "dispatchDeadline",
    "retryConfig",
    *_OUTPUT_FIELDS,
)
_REQUEST_FIELDS = ("url", "httpMethod", "headers", "body", "oidcToken", "oauthToken")

_PACIFIC = ZoneInfo("America/Los_Angeles")
_LAST_TIME = 253_402_300_799.0
"""The end of the year 9999; the nearest double of a time just before may lie after it."""
_NUMBER = re.compile(r"[0-9]{1,9}")


class View(enum.IntEnum):
    """How much of a task an answer holds: BASIC leaves out the body."""

    BASIC = 1
    FULL = 2


def view_from_json(value: Any) -> View:
    """Return the response view; missing or unspecified is BASIC."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    return enum_from_json(value if value is not None else 0, View, at="response_view") or View.BASIC


def task_from_json(
    value: Any, *, queue_name: str, serial: int, now: float, queue_target: QueueTarget | None = None
) -> Task:
    """Return the new task of queue `queue_name` that a request body describes, named at random if it has no name.

    The headers of `queue_target` are taken over; the rest of it acts when the task is sent.

    Raises:
        GoogleError: INVALID_ARGUMENT, or UNIMPLEMENTED for App Engine targets.
    """
    body = object_from_json(value, at="task", allowed=_FIELDS)
    if "appEngineHttpRequest" in body:
        raise unimplemented("localcloud does not emulate App Engine targets; give the task an http_request.")
    if "httpRequest" not in body:
        raise invalid_argument("Task.http_request must be set.")
    target = with_queue_headers(_target_from_json(body["httpRequest"]), queue_target)
    check_token_url(overridden(target, queue_target))
    name = _name_from_json(body.get("name", ""), queue_name)
    _check_size(name, target)
    return Task(
        name=name,
        target=target,
        serial=serial,
        create_time=float(int(now)),
        schedule_time=_schedule_time_from_json(body.get("scheduleTime"), now),
        dispatch_deadline_s=_deadline_from_json(body.get("dispatchDeadline")),
        retry_config=(
            retry_config_from_json(body["retryConfig"], at="task.retry_config") if "retryConfig" in body else None
        ),
    )


def task_to_json(task: Task, view: View) -> dict[str, Any]:
    """Return the task as the API shows it."""
    answer: dict[str, Any] = {
        "name": task.name,
        "httpRequest": _target_to_json(task.target, view),
        "scheduleTime": timestamp_to_json(task.schedule_time),
        "createTime": timestamp_to_json(task.create_time),
        "dispatchDeadline": duration_to_json(task.dispatch_deadline_s),
        "view": view.name,
    }
    if task.dispatch_count:
        answer["dispatchCount"] = task.dispatch_count
    if task.response_count:
        answer["responseCount"] = task.response_count
    if task.first_dispatch_time is not None:
        answer["firstAttempt"] = {"dispatchTime": timestamp_to_json(task.first_dispatch_time)}
    if task.last_attempt is not None:
        answer["lastAttempt"] = _attempt_to_json(task.last_attempt)
    if task.retry_config is not None:
        answer["retryConfig"] = retry_config_to_json(task.retry_config)
    return answer


def _name_from_json(value: Any, queue_name: str) -> str:
    name = text_from_json(value, at="task.name")
    if not name:
        # 64 random bits; production's generated ids are decimal too.
        return f"{queue_name}/tasks/{secrets.randbits(64):020d}"
    check_task_name(name)
    if not name.startswith(f"{queue_name}/tasks/"):
        raise invalid_argument(
            f"The queue name from request ('{queue_name}') must be the same as the queue name "
            f"in the named task ('{name.rpartition('/tasks/')[0]}')."
        )
    return name


def _schedule_time_from_json(value: Any, now: float) -> float:
    if value is None:
        return now
    time = timestamp_from_json(value, at="task.schedule_time")
    if time > now + SCHEDULE_HORIZON_S:
        raise invalid_argument(
            f"The Task.scheduleTime, {_pacific(time)}, is too far in the future. "
            "Schedule time must be no more than 720h in the future."
        )
    return max(now, time)


def _pacific(time: float) -> str:
    """Return a time as the error shows it, e.g. `2025-02-12T22:20:41.69-08:00`: where Google's clocks stand."""
    local = datetime.fromtimestamp(min(time, _LAST_TIME), _PACIFIC)
    fraction = f".{local.microsecond:06d}".rstrip("0").rstrip(".")
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{offset[:3]}:{offset[3:]}"


def _deadline_from_json(value: Any) -> float:
    if value is None:
        return DEFAULT_DISPATCH_DEADLINE_S
    seconds = duration_from_json(value, at="task.dispatch_deadline")
    if not MIN_DISPATCH_DEADLINE_S <= seconds <= MAX_DISPATCH_DEADLINE_S:
        raise invalid_argument("Task.dispatchDeadline must be between [15s, 30m].")
    return int(seconds * 1000) / 1000


def _target_from_json(value: Any) -> HttpTarget:
    at = "task.http_request"
    body = object_from_json(value, at=at, allowed=_REQUEST_FIELDS)
    url = _url_from_json(body.get("url", ""), f"{at}.url")
    token = token_from_json(body, at)
    method = enum_from_json(body.get("httpMethod", 0), HttpMethod, at=f"{at}.http_method") or HttpMethod.POST
    payload = bytes_from_json(body.get("body", ""), at=f"{at}.body")
    if payload and method not in METHODS_WITH_BODY:
        raise invalid_argument(f"HttpRequest.body is not allowed with method {method.name}: only POST, PUT and PATCH.")
    return HttpTarget(
        url=url,
        method=method,
        headers=_headers_from_json(body.get("headers", {}), f"{at}.headers"),
        body=payload,
        token=token,
    )


def _url_from_json(value: Any, at: str) -> str:
    url = text_from_json(value, at=at)
    if not url:
        raise invalid_argument("HttpRequest.url is required.")
    if len(url) > MAX_URL_CHARACTERS:
        raise invalid_argument(f"HttpRequest.url is longer than {MAX_URL_CHARACTERS} characters.")
    if not url.startswith(("http://", "https://")):
        # Recorded: production calls the field by this name here.
        raise invalid_argument("HttpTarget.url must start with 'http://' or 'https://'.")
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or True)
    except ValueError:
        has_host = False
    if not has_host or any(character.isspace() for character in url):
        raise invalid_argument(f"HttpRequest.url must name a host: {url!r}")
    return url


def _headers_from_json(value: Any, at: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise invalid_argument(f"Invalid value at '{at}': expected a JSON object.")
    headers = {name: text_from_json(content, at=f"{at}[{name}]") for name, content in value.items()}
    return check_headers(headers, "HttpRequest.headers")


def _check_size(name: str, target: HttpTarget) -> None:
    headers_bytes = sum(len(key) + len(text.encode()) for key, text in target.headers.items())
    if len(name) + len(target.url) + len(target.body) + headers_bytes > MAX_TASK_BYTES:
        raise invalid_argument("Task size too large")


def _target_to_json(target: HttpTarget, view: View) -> dict[str, Any]:
    answer: dict[str, Any] = {"url": target.url, "httpMethod": target.method.name, "headers": _shown_headers(target)}
    if view is View.FULL and target.body:
        answer["body"] = base64.b64encode(target.body).decode()
    return answer | token_to_json(target.token)


def _shown_headers(target: HttpTarget) -> dict[str, str]:
    """Return the headers as production shows them: with its own User-Agent (recorded)."""
    shown = {name: text for name, text in target.headers.items() if name.lower() != "user-agent"}
    return {"User-Agent": USER_AGENT, **shown}


def _attempt_to_json(attempt: Attempt) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "scheduleTime": timestamp_to_json(attempt.schedule_time),
        "dispatchTime": timestamp_to_json(attempt.dispatch_time),
    }
    if attempt.response_time is None:
        return answer
    answer["responseStatus"] = {"code": attempt.rpc_code, "message": attempt.message}
    if attempt.http_code is not None:
        answer["responseTime"] = timestamp_to_json(attempt.response_time)
    return answer
