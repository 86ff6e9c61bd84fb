"""The compressor as a Flask application."""

from __future__ import annotations

from typing import Annotated

from flask import Flask

from chassis.clock import Clock
from chassis.http.app import new_app
from chassis.http.caller_guard import CallerGuard
from chassis.limited import Limited
from compressor.http.routes import add_routes
from compressor.previews import Previewer
from compressor.service import Compressor
from compressor.settings import CompressorSettings

MAX_BODY_BYTES: Annotated[int, Limited("bytes", "413 `BODY_TOO_LARGE`", "Body of a task")] = 64 * 1024
"""A task names one image; its URL has at most 2,083 characters."""


def create_app(
    settings: CompressorSettings, *, guard: CallerGuard, compressor: Compressor, previewer: Previewer, clock: Clock
) -> Flask:
    """Return the application."""
    app = new_app("compressor", clock, max_body_bytes=MAX_BODY_BYTES, body_timeout_s=settings.body_timeout_s)
    add_routes(
        app,
        guard,
        compressor,
        previewer,
        tasks_service_account=settings.tasks_service_account,
        ingest_service_account=settings.ingest_service_account,
    )
    return app
