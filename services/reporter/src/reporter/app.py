"""The reporter as a Flask application."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask
from sqlalchemy import Engine

from chassis.clock import Clock
from chassis.identity import CallerGuard
from chassis.web import new_app
from reporter.api_document import document
from reporter.deliveries import Deliveries
from reporter.endpoint_routes import add_endpoint_routes
from reporter.endpoints import Endpoints
from reporter.links import DownloadLinks
from reporter.objects import ReportObjects
from reporter.publication import ReportPublisher
from reporter.retention import Retention
from reporter.routes import add_internal_routes, add_public_routes
from reporter.settings import ReporterSettings

MAX_BODY_BYTES = 64 * 1024
"""Callers send ids, counts and two URLs."""


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
    app = new_app("reporter", parts.clock, max_body_bytes=MAX_BODY_BYTES)
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
    add_public_routes(app, engine=parts.engine, objects=parts.objects, links=parts.links, document=document)
    add_endpoint_routes(app, parts.endpoints)
    return app
