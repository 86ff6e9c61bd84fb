"""The composition root: environment to settings to real clients to application. Nothing happens at import."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from threading import BoundedSemaphore
from typing import Any

from flask import Flask

from chassis.auth.oidc import MetadataTokens, TokenSource
from chassis.clock import Clock, SystemClock
from chassis.db.engine import new_engine
from chassis.failpoints import arm_failpoints
from chassis.google.clients import new_tasks_client
from chassis.google.span_export import record_spans
from chassis.google.storage_client import new_storage_client
from chassis.google.tasks import CloudTasksQueue
from chassis.http.caller_guard import CallerGuard
from chassis.logs import configure_logs
from chassis.peer_service import InternalService
from chassis.settings import SettingsError, exit_with_faults
from reporter.app import create_app
from reporter.clients.bucket import ReportObjects
from reporter.clients.receivers import new_egress
from reporter.clients.task_queue import CloudDeliveryQueue, DeliveryQueue
from reporter.dependencies import Dependencies
from reporter.failpoints import Failpoint
from reporter.settings import ReporterSettings


def build() -> Flask:
    """Return the application for gunicorn; ends the process with status 2 when settings are missing."""
    try:
        settings = ReporterSettings.from_environ(os.environ)
    except SettingsError as error:
        exit_with_faults("reporter", error)
    configure_logs(service="reporter", project=settings.project, revision=settings.revision, level=settings.log_level)
    arm_failpoints("reporter", settings, Failpoint)
    record_spans("reporter", settings)
    clock = SystemClock()
    tasks = CloudTasksQueue(new_tasks_client(settings), {settings.webhooks_queue: settings.tasks_service_account})
    queue = CloudDeliveryQueue(tasks, queue=settings.webhooks_queue, root_url=settings.reporter_internal_url)
    return create_app(
        assemble(
            settings,
            clock=clock,
            queue=queue,
            storage_client=new_storage_client(settings),
            tokens=MetadataTokens(clock),
            jitter=random.SystemRandom().random,
        )
    )


def assemble(
    settings: ReporterSettings,
    *,
    clock: Clock,
    queue: DeliveryQueue,
    storage_client: Any,
    tokens: TokenSource,
    jitter: Callable[[], float],
    resolve: Any = socket.getaddrinfo,
) -> Dependencies:
    """Return what the application works with; what is not given follows from the settings."""
    return Dependencies(
        settings=settings,
        engine=new_engine(
            settings.database_url.get_secret_value(),
            pool_size=settings.database_pool_size,
            application_name="reporter",
        ),
        clock=clock,
        guard=CallerGuard(
            audience=settings.reporter_internal_url,
            certs_url=settings.auth_certs_url,
            mode=settings.auth_mode,
            clock=clock,
        ),
        tasks=queue,
        objects=ReportObjects(storage_client.bucket(settings.reports_bucket)),
        images=ReportObjects(storage_client.bucket(settings.images_bucket or "none")),
        ingest=InternalService("ingest", settings.ingest_internal_url, tokens),
        deliveries=new_egress(settings, clock, resolve=resolve),
        registrations=new_egress(settings, clock, resolve=resolve),
        slots=BoundedSemaphore(settings.webhook_concurrency),
        jitter=jitter,
    )
