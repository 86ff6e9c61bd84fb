"""Reads the file of queues that Terraform and localcloud share.

Field names are those of Terraform's `google_cloud_tasks_queue`; values obey the limits of the API, because every
queue goes through the same checks as one created by a client. One key is local only: `rate_limits.max_burst_size`
sets the bucket that production chooses by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localcloud.core.config_fields import ConfigError, Fields, read_yaml
from localcloud.core.google_errors import GoogleError
from localcloud.core.json_values import camel_case
from localcloud.tasks.api.names import check_queue_name
from localcloud.tasks.api.queue_resource import queue_from_json
from localcloud.tasks.model import MAX_BURST_SIZE, Queue

_RATE_FIELDS = {
    "max_dispatches_per_second": "maxDispatchesPerSecond",
    "max_concurrent_dispatches": "maxConcurrentDispatches",
}
_RETRY_FIELDS = {
    "max_attempts": "maxAttempts",
    "max_retry_duration": "maxRetryDuration",
    "min_backoff": "minBackoff",
    "max_backoff": "maxBackoff",
    "max_doublings": "maxDoublings",
}
_SECTIONS = {"http_target": "httpTarget", "stackdriver_logging_config": "stackdriverLoggingConfig"}


def load_queues(
    path: Path, *, project: str, location: str, rates: Mapping[str, int] = MappingProxyType({})
) -> list[Queue]:
    """Return the queues of a file, named in `projects/PROJECT/locations/LOCATION`.

    `rates` are dispatches a second of some queues, instead of what the file says.

    Raises:
        ConfigError: names file, key and fault.
    """
    top = read_yaml(path)
    queues = [_queue(fields, f"projects/{project}/locations/{location}", rates) for fields in top.sections("queues")]
    top.finish()
    names = [queue.queue_id for queue in queues]
    for name in rates:
        if name not in names:
            raise ConfigError(f"{path}: there is no queue '{name}', for which a rate is given")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: the queue '{name}' is defined twice")
    return queues


def _queue(fields: Fields, location_name: str, rates: Mapping[str, int]) -> Queue:
    queue_id = fields.text("name")
    name = f"{location_name}/queues/{queue_id}"
    rate_limits, retry_config = fields.section("rate_limits"), fields.section("retry_config")
    burst = rate_limits.integer("max_burst_size", 0, most=MAX_BURST_SIZE)
    body = {
        "rateLimits": _renamed(rate_limits, _RATE_FIELDS),
        "retryConfig": _renamed(retry_config, _RETRY_FIELDS),
    }
    if queue_id in rates:
        body["rateLimits"]["maxDispatchesPerSecond"] = rates[queue_id]
    for ours, theirs in _SECTIONS.items():
        if ours in fields:
            body[theirs] = _camel_cased(fields.raw(ours))
    fields.finish()
    try:
        check_queue_name(name)
        queue = queue_from_json(body, name=name)
    except GoogleError as error:
        raise ConfigError(f"{fields.where}: {error.message}") from error
    if burst:
        return replace(queue, rate_limits=replace(queue.rate_limits, max_burst_size=burst))
    return queue


def _camel_cased(value: Any) -> Any:
    match value:
        case dict():
            return {camel_case(str(name)): _camel_cased(item) for name, item in value.items()}
        case list():
            return [_camel_cased(item) for item in value]
        case _:
            return value


def _renamed(fields: Fields, names: dict[str, str]) -> dict[str, Any]:
    values = {theirs: fields.raw(ours) for ours, theirs in names.items() if ours in fields}
    fields.finish()
    return values
