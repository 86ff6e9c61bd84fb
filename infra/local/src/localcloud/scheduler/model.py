"""A schedule: what is called, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


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
