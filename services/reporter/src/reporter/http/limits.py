"""The table behind `/limits`: every limit a client can meet, as the settings and the modules declare it."""

from __future__ import annotations

import sys
from typing import Annotated

import chassis.auth.api_keys
import chassis.http.answer_pace
import chassis.http.body_pace
import chassis.http.gunicorn_worker
import chassis.http.page_tokens
import chassis.http.requests
import reporter.clients.receivers
import reporter.http.public_schemas
import reporter.http.webhook_schemas
import reporter.reports.page
import reporter.reports.workbook
import reporter.settings
import reporter.webhooks.endpoints
from chassis.limited import Limited
from chassis.limits import Limit, limits_of_modules, limits_of_settings
from reporter.settings import ReporterSettings

MAX_BODY_BYTES: Annotated[int, Limited("bytes", "413 `BODY_TOO_LARGE`", "Largest body of a request")] = 64 * 1024
"""Callers send ids, counts and two URLs."""

_MODULES = (
    chassis.auth.api_keys,
    chassis.http.answer_pace,
    chassis.http.body_pace,
    chassis.http.gunicorn_worker,
    chassis.http.page_tokens,
    chassis.http.requests,
    reporter.clients.receivers,
    reporter.http.public_schemas,
    reporter.http.webhook_schemas,
    reporter.reports.page,
    reporter.reports.workbook,
    reporter.settings,
    reporter.webhooks.endpoints,
    sys.modules[__name__],
)


def computed_limits(settings: ReporterSettings) -> tuple[Limit, ...]:
    """Return the limits that follow from settings."""
    variable = ReporterSettings.model_fields["webhook_retry_schedule_s"].alias or ""
    attempts = len(settings.webhook_retry_schedule_s) + 1
    beyond = "the delivery is FAILED and can be sent again"
    return (Limit("max_delivery_attempts", attempts, "attempts", "Attempts of a delivery", variable, beyond=beyond),)


def limits_of(settings: ReporterSettings, *, endpoint_count: int) -> tuple[Limit, ...]:
    """Return every limit, quotas with what their owner uses."""
    constants = (limit for limit in limits_of_modules(_MODULES) if not limit.internal)
    from_settings = limits_of_settings(settings, {"webhook_max_endpoints": endpoint_count})
    return (*from_settings, *computed_limits(settings), *constants)
