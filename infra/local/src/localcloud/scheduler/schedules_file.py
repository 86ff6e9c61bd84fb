"""Reads the file of schedules that Terraform and localcloud share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from localcloud.core.config_fields import ConfigError, Fields, read_yaml
from localcloud.core.google_errors import GoogleError
from localcloud.core.json_values import duration_from_json
from localcloud.scheduler.model import Schedule

_METHODS = ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
_DEFAULT_DEADLINE = "180s"
_SHORTEST_DEADLINE_S, _LONGEST_DEADLINE_S = 15.0, 1800.0


def load_schedules(path: Path) -> list[Schedule]:
    """Return the schedules of a file.

    Raises:
        ConfigError: names file, key and fault.
    """
    top = read_yaml(path)
    schedules = [_schedule(fields) for fields in top.sections("schedules")]
    top.finish()
    names = [schedule.name for schedule in schedules]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: the schedule '{name}' is defined twice")
    return schedules


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
        deadline_s = duration_from_json(fields.text("attempt_deadline", _DEFAULT_DEADLINE), at="attempt_deadline")
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
