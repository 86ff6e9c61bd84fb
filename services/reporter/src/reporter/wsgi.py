"""The only file that reads the environment and builds real parts; gunicorn runs `reporter.wsgi:build()`."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Flask

from chassis.auth.oidc import CallerGuard, MetadataTokens, TokenSource
from chassis.clock import Clock, SystemClock
from chassis.db.engine import new_engine
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressPolicy
from chassis.failpoints import arm_failpoints
from chassis.google.clients import new_storage_client, new_tasks_client
from chassis.logs import configure_logs
from chassis.peer_service import InternalService
from chassis.settings import SettingsError, exit_with_faults
from reporter.app import Parts, create_app
from reporter.clients.task_queue import CloudTasksQueue, DeliveryQueue
from reporter.failpoints import Failpoint
from reporter.reports.bucket import ReportObjects
from reporter.reports.links import DownloadLinks
from reporter.reports.publish import ReportPublisher
from reporter.retention import Retention
from reporter.settings import ReporterSettings
from reporter.webhooks.deliver import MAX_READ_BYTES, USER_AGENT, Deliveries, DeliveryPolicy
from reporter.webhooks.endpoints import EndpointPolicy, Endpoints
from reporter.webhooks.secrets import EndpointSecrets, split_keys


def build() -> Flask:
    """Return the application as the environment describes it."""
    try:
        settings = ReporterSettings.from_environ(os.environ)
    except SettingsError as error:
        exit_with_faults("reporter", error)
    configure_logs(service="reporter", project=settings.project, revision=settings.revision, level=settings.log_level)
    arm_failpoints("reporter", settings, Failpoint)
    clock = SystemClock()
    queue = CloudTasksQueue(
        new_tasks_client(settings),
        queue=settings.webhooks_queue,
        root_url=settings.reporter_url,
        service_account=settings.tasks_service_account,
    )
    return create_app(
        settings,
        assemble(
            settings,
            clock=clock,
            queue=queue,
            storage_client=new_storage_client(settings),
            tokens=MetadataTokens(clock),
            jitter=random.SystemRandom().random,
        ),
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
) -> Parts:
    """Return the application's parts; what is not given follows from the settings."""
    engine = new_engine(
        settings.database_url.get_secret_value(), pool_size=settings.database_pool_size, application_name="reporter"
    )
    objects = ReportObjects(storage_client.bucket(settings.reports_bucket))
    policy = EgressPolicy(
        allowed_networks=parse_networks(settings.egress_allowed_networks),
        ports=frozenset(settings.egress_allowed_ports),
        read_timeout_s=settings.webhook_timeout_s,
        total_timeout_s=settings.webhook_timeout_s,
        max_body_bytes=MAX_READ_BYTES,
    )
    egress = Egress(policy, user_agent=USER_AGENT, clock=clock, resolve=resolve)
    secrets = EndpointSecrets(split_keys(settings.webhook_endpoint_keys.get_secret_value()))
    deliveries = Deliveries(
        engine=engine,
        queue=queue,
        egress=egress,
        secrets=secrets,
        policy=DeliveryPolicy(
            deployment_url=settings.webhook_url,
            secret=settings.webhook_signing_secret.get_secret_value(),
            schedule_s=settings.webhook_retry_schedule_s,
            concurrency=settings.webhook_concurrency,
            hint_grace=timedelta(seconds=settings.webhook_hint_grace_s),
            patience=timedelta(seconds=settings.webhook_disable_after_s),
        ),
        clock=clock,
        jitter=jitter,
    )
    return Parts(
        engine=engine,
        guard=CallerGuard(
            audience=settings.reporter_url, certs_url=settings.auth_certs_url, mode=settings.auth_mode, clock=clock
        ),
        publisher=ReportPublisher(
            ingest=InternalService("ingest", settings.ingest_url, tokens), objects=objects, engine=engine, clock=clock
        ),
        deliveries=deliveries,
        retention=Retention(engine=engine, clock=clock, days=settings.retention_days),
        endpoints=Endpoints(
            engine=engine,
            deliveries=deliveries,
            egress=egress,
            secrets=secrets,
            policy=EndpointPolicy(
                max_endpoints=settings.webhook_max_endpoints,
                secret_overlap=timedelta(seconds=settings.webhook_secret_overlap_s),
            ),
            clock=clock,
        ),
        objects=objects,
        links=DownloadLinks(
            root_url=settings.reporter_url,
            secret=settings.download_signing_secret.get_secret_value(),
            ttl_s=settings.download_ttl_s,
            clock=clock,
        ),
        clock=clock,
    )
