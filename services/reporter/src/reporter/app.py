"""The reporter as a Flask application."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask
from sqlalchemy import Engine

from chassis.auth.oidc import CallerGuard
from chassis.clock import Clock
from chassis.http.app import new_app
from chassis.http.key_guard import KeyGuard
from reporter.http.endpoint_routes import add_endpoint_routes
from reporter.http.limits import MAX_BODY_BYTES
from reporter.http.openapi import document
from reporter.http.report_routes import add_internal_routes, add_public_routes
from reporter.reports.bucket import ReportObjects
from reporter.reports.links import DownloadLinks
from reporter.reports.publish import ReportPublisher
from reporter.retention import Retention
from reporter.settings import ReporterSettings
from reporter.webhooks.deliver import Deliveries
from reporter.webhooks.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    engine: Engine
    guard: CallerGuard
    publisher: ReportPublisher
    deliveries: Deliveries
    retention: Retention
    endpoints: Endpoints
    objects: ReportObjects
    links: DownloadLinks
    clock: Clock


def create_app(settings: ReporterSettings, parts: Parts) -> Flask:
    """Return the application."""
    app = new_app("reporter", parts.clock, max_body_bytes=MAX_BODY_BYTES, body_timeout_s=settings.body_timeout_s)
    add_internal_routes(
        app,
        settings,
        guard=parts.guard,
        publisher=parts.publisher,
        deliveries=parts.deliveries,
        retention=parts.retention,
        objects=parts.objects,
        links=parts.links,
    )
    keys = KeyGuard(settings.keys_of_callers, parts.clock)
    add_public_routes(
        app,
        settings,
        engine=parts.engine,
        objects=parts.objects,
        links=parts.links,
        endpoints=parts.endpoints,
        keys=keys,
        document=document,
    )
    add_endpoint_routes(app, parts.endpoints, keys)
    return app
