"""Queues from and to the JSON of the Cloud Tasks API, with the limits of rates and retries."""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import Any

from localcloud.core.google_errors import invalid_argument, unimplemented
from localcloud.core.json_values import (
    camel_case,
    duration_from_json,
    integer_from_json,
    number_from_json,
    object_from_json,
)
from localcloud.core.list_fields import Choice, Duration, Field, Number, Text, Time
from localcloud.core.times import duration_to_json, timestamp_to_json
from localcloud.tasks.api.queue_target import queue_target_from_json, queue_target_to_json
from localcloud.tasks.model import (
    DEFAULT_CONCURRENT_DISPATCHES,
    MAX_CONCURRENT_DISPATCHES,
    MAX_DISPATCHES_PER_SECOND,
    UNLIMITED_ATTEMPTS,
    Queue,
    RateLimits,
    RetryConfig,
    burst_size_from_rate,
)

_NOT_EMULATED = ("appEngineRoutingOverride",)
_SETTINGS = ("rateLimits", "retryConfig", "httpTarget", "stackdriverLoggingConfig")
_FIELDS = ("name", "state", "purgeTime", *_SETTINGS, *_NOT_EMULATED)
_RATE_FIELDS = ("maxDispatchesPerSecond", "maxBurstSize", "maxConcurrentDispatches")
_RETRY_FIELDS = ("maxAttempts", "maxRetryDuration", "minBackoff", "maxBackoff", "maxDoublings")
_TARGET_FIELDS = ("uriOverride", "httpMethod", "headerOverrides", "oidcToken", "oauthToken")
_LOGGING_FIELDS = ("samplingRatio",)
_PARTS = {
    "rateLimits": _RATE_FIELDS,
    "retryConfig": _RETRY_FIELDS,
    "httpTarget": _TARGET_FIELDS,
    "stackdriverLoggingConfig": _LOGGING_FIELDS,
}
_DEFAULT_RETRY = RetryConfig()


class _State(enum.IntEnum):
    RUNNING = 1
    PAUSED = 2
    DISABLED = 3


FILTER_FIELDS = {
    "name": Field(lambda queue: queue.name, Text()),
    "state": Field(lambda queue: _State[queue.state.value], Choice(_State)),
    "purgeTime": Field(lambda queue: queue.purge_time, Time()),
    "rateLimits.maxDispatchesPerSecond": Field(lambda queue: queue.rate_limits.max_dispatches_per_second, Number()),
    "rateLimits.maxBurstSize": Field(lambda queue: queue.rate_limits.max_burst_size, Number()),
    "rateLimits.maxConcurrentDispatches": Field(lambda queue: queue.rate_limits.max_concurrent_dispatches, Number()),
    "retryConfig.maxAttempts": Field(lambda queue: queue.retry_config.max_attempts, Number()),
    "retryConfig.maxRetryDuration": Field(lambda queue: queue.retry_config.max_retry_duration_s, Duration()),
    "retryConfig.minBackoff": Field(lambda queue: queue.retry_config.min_backoff_s, Duration()),
    "retryConfig.maxBackoff": Field(lambda queue: queue.retry_config.max_backoff_s, Duration()),
    "retryConfig.maxDoublings": Field(lambda queue: queue.retry_config.max_doublings, Number()),
}
"""What ListQueues can be filtered by."""


def queue_from_json(value: Any, *, name: str) -> Queue:
    """Return the queue `name` that a request body describes; state and purge time are output only.

    Raises:
        GoogleError: INVALID_ARGUMENT, or UNIMPLEMENTED for a field localcloud does not emulate.
    """
    body = _checked_body(value)
    return Queue(
        name=name,
        rate_limits=_rate_limits_from_json(body.get("rateLimits", {})),
        retry_config=retry_config_from_json(body.get("retryConfig", {}), at="queue.retry_config"),
        target=queue_target_from_json(body["httpTarget"]) if "httpTarget" in body else None,
        logged_ratio=_ratio_from_json(body["stackdriverLoggingConfig"]) if "stackdriverLoggingConfig" in body else None,
    )


def merge_queue(old: Queue, value: Any, mask: str) -> Queue:
    """Return `old` with the fields that `mask` names taken from the body; an empty mask names all.

    A named field that the body lacks falls back to its default. The state cannot be changed here.

    Raises:
        GoogleError: INVALID_ARGUMENT, or UNIMPLEMENTED for a field localcloud does not emulate.
    """
    body = _checked_body(value)
    merged = {name: value for name, value in queue_to_json(old).items() if name in _SETTINGS} if mask else body
    for path in filter(None, mask.split(",")):
        _merge_path(merged, body, camel_case(path.strip()))
    return replace(queue_from_json(merged, name=old.name), state=old.state, purge_time=old.purge_time)


def queue_to_json(queue: Queue) -> dict[str, Any]:
    """Return e.g. `{"name": "projects/...", "rateLimits": {...}, "retryConfig": {...}, "state": "RUNNING"}`."""
    answer: dict[str, Any] = {
        "name": queue.name,
        "rateLimits": {
            "maxDispatchesPerSecond": queue.rate_limits.max_dispatches_per_second,
            "maxBurstSize": queue.rate_limits.max_burst_size,
            "maxConcurrentDispatches": queue.rate_limits.max_concurrent_dispatches,
        },
        "retryConfig": retry_config_to_json(queue.retry_config),
        "state": queue.state.value,
    }
    if queue.target is not None:
        answer["httpTarget"] = queue_target_to_json(queue.target)
    if queue.logged_ratio is not None:
        answer["stackdriverLoggingConfig"] = {"samplingRatio": queue.logged_ratio} if queue.logged_ratio else {}
    if queue.purge_time is not None:
        answer["purgeTime"] = timestamp_to_json(queue.purge_time)
    return answer


def retry_config_from_json(value: Any, *, at: str) -> RetryConfig:
    """Return a retry config; a missing or zero field is its default.

    Backoffs keep their fractions although the documentation says "truncated to the nearest second": its own default
    is 0.100s.

    Raises:
        GoogleError: INVALID_ARGUMENT.
    """
    body = object_from_json(value, at=at, allowed=_RETRY_FIELDS)
    durations = {
        field: duration_from_json(body[field], at=f"{at}.{field}")
        for field in ("maxRetryDuration", "minBackoff", "maxBackoff")
        if field in body
    }
    for field, seconds in durations.items():
        if seconds < 0:
            raise invalid_argument(f"RetryConfig.{field} cannot be negative.")
    max_attempts = integer_from_json(body.get("maxAttempts", 0), at=f"{at}.maxAttempts")
    if max_attempts < UNLIMITED_ATTEMPTS:
        raise invalid_argument("RetryConfig.maxAttempts must be greater or equal to -1.")
    max_doublings = integer_from_json(body.get("maxDoublings", 0), at=f"{at}.maxDoublings")
    if max_doublings < 0:
        raise invalid_argument("RetryConfig.maxDoublings cannot be negative.")
    config = RetryConfig(
        max_attempts=max_attempts or _DEFAULT_RETRY.max_attempts,
        max_retry_duration_s=float(int(durations.get("maxRetryDuration", 0.0))),
        min_backoff_s=durations.get("minBackoff", 0.0) or _DEFAULT_RETRY.min_backoff_s,
        max_backoff_s=durations.get("maxBackoff", 0.0) or _DEFAULT_RETRY.max_backoff_s,
        max_doublings=max_doublings or _DEFAULT_RETRY.max_doublings,
    )
    if config.min_backoff_s > config.max_backoff_s:
        raise invalid_argument("RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.")
    return config


def retry_config_to_json(config: RetryConfig) -> dict[str, Any]:
    """Return e.g. `{"maxAttempts": 100, "minBackoff": "0.100s", "maxBackoff": "3600s", "maxDoublings": 16}`."""
    answer: dict[str, Any] = {
        "maxAttempts": config.max_attempts,
        "minBackoff": duration_to_json(config.min_backoff_s),
        "maxBackoff": duration_to_json(config.max_backoff_s),
        "maxDoublings": config.max_doublings,
    }
    if config.max_retry_duration_s:
        answer["maxRetryDuration"] = duration_to_json(config.max_retry_duration_s)
    return answer


def _checked_body(value: Any) -> dict[str, Any]:
    body = object_from_json(value, at="queue", allowed=_FIELDS)
    for field in _NOT_EMULATED:
        if field in body:
            raise unimplemented(f"localcloud does not emulate queue.{field}.")
    return body


def _ratio_from_json(value: Any) -> float:
    at = "queue.stackdriver_logging_config"
    body = object_from_json(value, at=at, allowed=_LOGGING_FIELDS)
    ratio = number_from_json(body.get("samplingRatio", 0), at=f"{at}.sampling_ratio")
    if not 0 <= ratio <= 1:
        raise invalid_argument(f"{at}.sampling_ratio must be between 0 and 1.")
    return ratio


def _rate_limits_from_json(value: Any) -> RateLimits:
    at = "queue.rate_limits"
    body = object_from_json(value, at=at, allowed=_RATE_FIELDS)
    rate = number_from_json(body.get("maxDispatchesPerSecond", 0), at=f"{at}.maxDispatchesPerSecond")
    _check_range("maxDispatchesPerSecond", rate, MAX_DISPATCHES_PER_SECOND)
    rate = rate or MAX_DISPATCHES_PER_SECOND
    concurrent = integer_from_json(body.get("maxConcurrentDispatches", 0), at=f"{at}.maxConcurrentDispatches")
    _check_range("maxConcurrentDispatches", concurrent, MAX_CONCURRENT_DISPATCHES)
    concurrent = concurrent or DEFAULT_CONCURRENT_DISPATCHES
    return RateLimits(rate, burst_size_from_rate(rate), concurrent)


def _check_range(field: str, value: float, most: float) -> None:
    if value < 0:
        raise invalid_argument(f"RateLimits.{field} cannot be negative.")
    if not value <= most:
        raise invalid_argument(f"RateLimits.{field} must be less than or equal to {most:g}.")


def _merge_path(merged: dict[str, Any], body: dict[str, Any], path: str) -> None:
    section, _, rest = path.partition(".")
    # A path inside of a part, such as http_target.uri_override.host, takes the part as a whole.
    field = rest.partition(".")[0]
    if section in _NOT_EMULATED:
        raise unimplemented(f"localcloud does not emulate queue.{section}.")
    known = _PARTS.get(section, ())
    if not known or (field and field not in known):
        raise invalid_argument(f"update_mask path '{path}' is not a field that can be updated.")
    if not field:
        merged.pop(section, None)
        if section in body:
            merged[section] = body[section]
        return
    merged[section] = {name: value for name, value in merged.get(section, {}).items() if name != field}
    given = object_from_json(body.get(section, {}), at=f"queue.{section}", allowed=known)
    if field in given:
        merged[section][field] = given[field]
