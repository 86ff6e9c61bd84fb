"""The composition root: environment to settings to real clients to application. Nothing happens at import."""

from __future__ import annotations

import os

from flask import Flask

from chassis.auth.oidc import MetadataTokens
from chassis.clock import SystemClock
from chassis.db.engine import new_engine
from chassis.failpoints import arm_failpoints
from chassis.google.clients import new_authorized_session, new_executions_client, new_tasks_client
from chassis.google.span_export import record_spans
from chassis.google.storage_client import new_storage_client
from chassis.google.tasks import CloudTasksQueue
from chassis.http.caller_guard import CallerGuard
from chassis.logs import configure_logs
from chassis.peer_service import InternalService
from chassis.settings import SettingsError, exit_with_faults
from ingest.app import create_app
from ingest.clients.callbacks import WorkflowCallbacks
from ingest.clients.executions import WorkflowExecutions
from ingest.clients.peers import PeerServices
from ingest.clients.previews import CompressorPreviews
from ingest.clients.reporter import ReporterService
from ingest.clients.sheet_storage import CloudSheetStorage
from ingest.clients.webhook_targets import WebhookTargets
from ingest.clients.webhooks import ReporterWebhooks
from ingest.dependencies import Dependencies
from ingest.failpoints import Failpoint
from ingest.settings import IngestSettings


def build() -> Flask:
    """Return the application for gunicorn; ends the process with status 2 when settings are missing."""
    try:
        settings = IngestSettings.from_environ(os.environ)
    except SettingsError as error:
        exit_with_faults("ingest", error)
    configure_logs(service="ingest", project=settings.project, revision=settings.revision, level=settings.log_level)
    arm_failpoints("ingest", settings, Failpoint)
    record_spans("ingest", settings)
    clock = SystemClock()
    tokens = MetadataTokens(clock)
    reporter = InternalService("reporter", settings.reporter_internal_url, tokens)
    compressor = InternalService("compressor", settings.compressor_url, tokens)
    return create_app(
        Dependencies(
            settings=settings,
            engine=new_engine(
                settings.database_url.get_secret_value(),
                pool_size=settings.database_pool_size,
                application_name="ingest",
            ),
            clock=clock,
            guard=CallerGuard(
                audience=settings.ingest_internal_url,
                certs_url=settings.auth_certs_url,
                mode=settings.auth_mode,
                clock=clock,
            ),
            executions=WorkflowExecutions(new_executions_client(settings), settings.workflow_name),
            tasks=CloudTasksQueue(new_tasks_client(settings), settings.tasks_accounts),
            callbacks=WorkflowCallbacks(new_authorized_session),
            storage=CloudSheetStorage(new_storage_client(settings)),
            reporter=ReporterService(reporter),
            webhook_targets=WebhookTargets(settings, clock),
            previews=CompressorPreviews(compressor),
            webhooks=ReporterWebhooks(reporter),
            peers=PeerServices({"compressor": compressor, "reporter": reporter}),
        )
    )
