"""Puts the service together: `create_app(dependencies)` is all a test or `wsgi.py` needs."""

from __future__ import annotations

from flask import Flask

from chassis.http.app import new_app
from chassis.http.docs_page import docs_routes
from chassis.http.owner_guard import OwnerGuard
from chassis.http.request_rate import limit_requests
from reporter.dependencies import Dependencies
from reporter.errors import FORMER_REASONS
from reporter.http.internal_routes import internal_routes
from reporter.http.limits import MAX_BODY_BYTES
from reporter.http.public_routes import public_routes
from reporter.http.webhook_routes import webhook_routes


def create_app(dependencies: Dependencies) -> Flask:
    """Return the reporter as a WSGI application, with the routes of its door."""
    settings = dependencies.settings
    app = new_app(
        "reporter",
        dependencies.clock,
        max_body_bytes=MAX_BODY_BYTES,
        body_timeout_s=settings.body_timeout_s,
        former_reasons=FORMER_REASONS,
    )
    if settings.serves_clients:
        limit_requests(
            app,
            settings.keys_of_callers,
            dependencies.clock,
            per_minute=settings.max_requests_per_minute,
            proxies=settings.trusted_proxies,
        )
        app.register_blueprint(public_routes(dependencies))
        app.register_blueprint(webhook_routes(dependencies, dependencies.keys))
        app.register_blueprint(docs_routes("Pressroom reporter"))
    if settings.serves_our_parts:
        app.register_blueprint(internal_routes(dependencies))
        # For ingest's console, which signs owners in.
        owners = OwnerGuard(dependencies.guard, settings.ingest_service_account)
        app.register_blueprint(
            webhook_routes(dependencies, owners), url_prefix="/internal/owner", name="webhooks_for_owners"
        )
    return app
