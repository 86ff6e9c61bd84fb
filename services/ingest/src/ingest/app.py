"""Puts the service together: `create_app(dependencies)` is all a test or `wsgi.py` needs."""

from __future__ import annotations

from flask import Flask

from chassis.http.app import new_app
from chassis.http.docs_page import docs_routes
from chassis.http.request_rate import limit_requests
from ingest.console.blueprint import console_routes
from ingest.dependencies import Dependencies
from ingest.http.batch_routes import batch_routes
from ingest.http.internal_routes import internal_routes
from ingest.http.limits import MAX_FORM_FIELD_BYTES, MAX_FORM_PARTS, max_body_bytes
from ingest.http.page_routes import page_routes
from ingest.http.public_routes import public_routes


def create_app(dependencies: Dependencies) -> Flask:
    """Return the ingest service as a WSGI application, with the routes of its door."""
    settings = dependencies.settings
    app = new_app(
        "ingest",
        dependencies.clock,
        max_body_bytes=max_body_bytes(settings),
        body_timeout_s=settings.body_timeout_s,
    )
    app.config.update(MAX_FORM_MEMORY_SIZE=MAX_FORM_FIELD_BYTES, MAX_FORM_PARTS=MAX_FORM_PARTS)
    if settings.serves_clients:
        limit_requests(
            app,
            settings.keys_of_callers,
            dependencies.clock,
            per_minute=settings.max_requests_per_minute,
            proxies=settings.trusted_proxies,
        )
        app.register_blueprint(public_routes(dependencies))
        app.register_blueprint(batch_routes(dependencies))
        app.register_blueprint(page_routes(settings.ingest_url))
        app.register_blueprint(docs_routes("Pressroom ingest"))
        app.register_blueprint(console_routes(dependencies))
    if settings.serves_our_parts:
        app.register_blueprint(internal_routes(dependencies))
    return app
