"""Queues, tasks and attempts as values, with the defaults and limits Cloud Tasks documents.

Times are seconds since the Unix epoch, durations seconds. Knows nothing of HTTP, JSON or clocks.

Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues and /docs/quotas
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_DISPATCHES_PER_SECOND = 500.0
MAX_CONCURRENT_DISPATCHES = 5000
DEFAULT_CONCURRENT_DISPATCHES = 1000
MAX_BURST_SIZE = 500
UNLIMITED_ATTEMPTS = -1

SCHEDULE_HORIZON_S = 30 * 24 * 3600.0
"""A task may be scheduled at most 30 days ahead."""
TASK_RETENTION_S = 31 * 24 * 3600.0
"""A task lives at most 31 days, whatever its queue's retry config says."""
DEFAULT_DISPATCH_DEADLINE_S = 600.0
MIN_DISPATCH_DEADLINE_S = 15.0
MAX_DISPATCH_DEADLINE_S = 1800.0
MAX_TASK_BYTES = 1024 * 1024
MAX_HEADERS_BYTES = 80 * 1024
MAX_URL_CHARACTERS = 2083
TOMBSTONE_S = 24 * 3600.0
"""How long the name of a finished or deleted task stays taken ("up to 24 hours")."""


USER_AGENT = "Google-Cloud-Tasks"
"""User-Agent of every dispatch."""


class QueueState(enum.Enum):
    """Whether a queue dispatches; production's DISABLED (billing, App Engine) never happens here."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"


class HttpMethod(enum.IntEnum):
    """Methods of HTTP targets, numbered as in the API."""

    POST = 1
    GET = 2
    HEAD = 3
    PUT = 4
    DELETE = 5
    PATCH = 6
    OPTIONS = 7


METHODS_WITH_BODY = frozenset({HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH})


def burst_size_from_rate(rate: float) -> int:
    """Return the bucket size Cloud Tasks might pick for `rate` dispatches per second.

    The real value is "dynamically optimized ... generally at least equal to max_dispatches_per_second"; there is no
    published formula, so this one is an assumption.
    """
    return max(1, min(MAX_BURST_SIZE, math.ceil(rate)))


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How fast a queue may dispatch: tokens per second, size of the bucket, requests in flight."""

    max_dispatches_per_second: float = MAX_DISPATCHES_PER_SECOND
    max_burst_size: int = MAX_BURST_SIZE
    max_concurrent_dispatches: int = DEFAULT_CONCURRENT_DISPATCHES


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """When a failed task is tried again; `max_attempts` -1 is unlimited, `max_retry_duration_s` 0 is unlimited."""

    max_attempts: int = 100
    max_retry_duration_s: float = 0.0
    min_backoff_s: float = 0.1
    max_backoff_s: float = 3600.0
    max_doublings: int = 16


@dataclass(frozen=True, slots=True)
class OidcToken:
    """Ask for an OpenID Connect token; an empty `audience` means the task's URL."""

    service_account_email: str
    audience: str


@dataclass(frozen=True, slots=True)
class OAuthToken:
    """Ask for an OAuth access token, for Google's own APIs."""

    service_account_email: str
    scope: str


@dataclass(frozen=True, slots=True)
class UriOverride:
    """Parts of the URLs of a queue's tasks; None leaves a part alone, an empty text or port 0 clears it.

    With `only_absent` a part replaces nothing that a task's URL has (the API's mode IF_NOT_EXISTS).
    """

    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None
    query: str | None = None
    only_absent: bool = False


@dataclass(frozen=True, slots=True)
class QueueTarget:
    """What a queue sets for the requests of its tasks (the API's `httpTarget`); None leaves it to the task."""

    uri: UriOverride | None = None
    method: HttpMethod | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    token: OidcToken | OAuthToken | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue; `name` is `projects/P/locations/L/queues/Q`.

    `logged_ratio` is the part of its operations that production would write to Cloud Logging.
    """

    name: str
    rate_limits: RateLimits = field(default_factory=RateLimits)
    retry_config: RetryConfig = field(default_factory=RetryConfig)
    state: QueueState = QueueState.RUNNING
    purge_time: float | None = None
    target: QueueTarget | None = None
    logged_ratio: float | None = None

    @property
    def queue_id(self) -> str:
        """Return the last segment of the name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """The HTTP request a task makes."""

    url: str
    method: HttpMethod = HttpMethod.POST
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    token: OidcToken | OAuthToken | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One dispatch: `rpc_code` is a google.rpc code, `http_code` is None when nothing answered.

    `response_time` is None while the attempt is under way.
    """

    schedule_time: float
    dispatch_time: float
    response_time: float | None = None
    rpc_code: int = 0
    message: str = ""
    http_code: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task; `name` is `projects/P/locations/L/queues/Q/tasks/T`.

    `serial` orders tasks by creation and tells a task from an earlier one of the same name. `response_count` counts
    every response, `execution_count` only those below 500: the header `X-CloudTasks-TaskExecutionCount`
    "does not include failures due to 5XX error codes".
    """

    name: str
    target: HttpTarget
    serial: int
    create_time: float
    schedule_time: float
    dispatch_deadline_s: float = DEFAULT_DISPATCH_DEADLINE_S
    retry_config: RetryConfig | None = None
    dispatch_count: int = 0
    response_count: int = 0
    execution_count: int = 0
    first_dispatch_time: float | None = None
    last_attempt: Attempt | None = None

    @property
    def task_id(self) -> str:
        """Return the last segment of the name."""
        return self.name.rpartition("/")[2]

    @property
    def queue_name(self) -> str:
        """Return the name of the queue that holds the task."""
        return self.name.rpartition("/tasks/")[0]


@dataclass(frozen=True, slots=True)
class Operation:
    """A batch of tasks that was created or deleted.

    `method` is BatchCreateTasks or BatchDeleteTasks; `failures` maps the index of a request to its google.rpc code and
    message; `tasks` are the created ones as the API shows them.
    """

    name: str
    method: str
    start_time: float
    end_time: float
    request_count: int
    failures: Mapping[int, tuple[int, str]]
    tasks: tuple[Mapping[str, Any], ...] = ()
