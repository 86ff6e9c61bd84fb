"""Puts the service together: `create_app(dependencies)` is all a test or `wsgi.py` needs."""

from __future__ import annotations

from flask import Flask

from chassis.web import new_app
from ingest.dependencies import Dependencies
from ingest.internal_routes import internal_routes
from ingest.page_routes import page_routes
from ingest.public_routes import public_routes

_FORM_BYTES = 1024 * 1024
"""Room for the multipart envelope and the fields beside the sheet."""


def create_app(dependencies: Dependencies) -> Flask:
    """Return the ingest service as a WSGI application."""
    limit = dependencies.settings.max_sheet_bytes + _FORM_BYTES
    app = new_app("ingest", dependencies.clock, max_body_bytes=limit)
    app.register_blueprint(public_routes(dependencies))
    app.register_blueprint(internal_routes(dependencies))
    app.register_blueprint(page_routes())
    return app
