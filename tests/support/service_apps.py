"""The three services as applications that nobody calls: for tests that walk their routes and settings."""

from __future__ import annotations

from functools import cache

from docs.generate.settings import SETTINGS
from flask import Flask
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]

import compressor.wsgi
import reporter.app
import reporter.wsgi
from chassis.auth.oidc import MetadataTokens
from chassis.clock import SystemClock
from chassis.db.engine import new_engine
from chassis.google.tasks import CloudTasksQueue
from chassis.http.caller_guard import CallerGuard
from chassis.settings import Settings
from compressor.settings import CompressorSettings
from ingest.app import create_app as create_ingest
from ingest.clients.callbacks import WorkflowCallbacks
from ingest.clients.executions import WorkflowExecutions
from ingest.clients.peers import PeerServices
from ingest.clients.previews import CompressorPreviews
from ingest.clients.reporter import ReporterService
from ingest.clients.sheet_storage import CloudSheetStorage
from ingest.clients.webhook_targets import WebhookTargets
from ingest.clients.webhooks import ReporterWebhooks
from ingest.dependencies import Dependencies
from ingest.settings import IngestSettings
from reporter.settings import ReporterSettings


def settings_from(environment: dict[str, str], service: str) -> Settings:
    """Return the settings of a service, either door, as Cloud Run would start it."""
    settings = SETTINGS[service.removesuffix("-internal")]
    return settings.from_environ({**environment, "K_SERVICE": service, "K_REVISION": f"{service}-00001"})


@cache
def _clock() -> SystemClock:
    return SystemClock()


def app_of(settings: Settings) -> Flask:
    """Return the application; its clients exist and connect to nothing until they are used."""
    client = storage.Client(project="nobody", credentials=AnonymousCredentials())
    tokens = MetadataTokens(_clock())
    match settings:
        case IngestSettings():
            guard = CallerGuard(
                audience=settings.ingest_internal_url,
                certs_url=settings.auth_certs_url,
                mode=settings.auth_mode,
                clock=_clock(),
            )
            return create_ingest(
                Dependencies(
                    settings=settings,
                    engine=new_engine("postgresql://nobody@127.0.0.1/nothing", pool_size=1),
                    clock=_clock(),
                    guard=guard,
                    executions=WorkflowExecutions(None, settings.workflow_name),
                    tasks=CloudTasksQueue(None, settings.tasks_accounts),
                    callbacks=WorkflowCallbacks(None),  # type: ignore[arg-type]
                    storage=CloudSheetStorage(client),
                    reporter=ReporterService(None),  # type: ignore[arg-type]
                    webhook_targets=WebhookTargets(settings, _clock()),
                    previews=CompressorPreviews(None),  # type: ignore[arg-type]
                    webhooks=ReporterWebhooks(None),  # type: ignore[arg-type]
                    peers=PeerServices({}),
                )
            )
        case CompressorSettings():
            codec = compressor.wsgi.new_codec(settings, _clock())
            return compressor.wsgi.assemble(settings, clock=_clock(), storage_client=client, tokens=tokens, codec=codec)
        case ReporterSettings():
            dependencies = reporter.wsgi.assemble(
                settings,
                clock=_clock(),
                queue=None,  # type: ignore[arg-type]
                storage_client=client,
                tokens=tokens,
                jitter=lambda: 0.5,
            )
            return reporter.app.create_app(dependencies)
    message = f"no application for {type(settings).__name__}"
    raise TypeError(message)


def internal_routes(app: Flask) -> dict[str, frozenset[str]]:
    """Return `METHOD /path` to the accounts that may call it, of every guarded route."""
    routes = {}
    for rule in app.url_map.iter_rules():
        callers = getattr(app.view_functions[rule.endpoint], "allowed_callers", None)
        if callers is not None:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                routes[f"{method} {rule.rule}"] = callers
    return routes


def public_routes(app: Flask) -> set[str]:
    """Return the path of every route without a guard."""
    return {
        rule.rule
        for rule in app.url_map.iter_rules()
        if not hasattr(app.view_functions[rule.endpoint], "allowed_callers")
    }
