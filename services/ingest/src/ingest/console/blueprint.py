"""The blueprint of the console: its pages, its static files, and errors as pages."""

from __future__ import annotations

from flask import Blueprint, Response
from werkzeug.exceptions import HTTPException

from chassis.errors import ApiError, SharedReason, Status
from chassis.http.key_guard import open_to_all
from chassis.http.requests import takes_query
from ingest.console.answers import crash_page, error_page, seen
from ingest.console.batch_pages import batch_pages
from ingest.console.image_pages import image_pages
from ingest.console.new_pages import new_pages
from ingest.console.rendering import STATIC_FILES, static_file
from ingest.console.settings_pages import settings_pages
from ingest.console.sign_in_pages import sign_in_pages
from ingest.console.visitors import VisitorGuard
from ingest.console.webhook_pages import webhook_pages
from ingest.dependencies import Dependencies


def console_routes(dependencies: Dependencies) -> Blueprint:
    """Return the blueprint of the console; all its routes are below `/console`."""
    bp = Blueprint("console", __name__, url_prefix="/console")
    guard = VisitorGuard(dependencies)
    bp.register_error_handler(ApiError, error_page)
    bp.register_error_handler(HTTPException, _http_error_page)
    bp.register_error_handler(Exception, crash_page)
    sign_in_pages(bp, dependencies, guard)
    new_pages(bp, dependencies, guard)
    batch_pages(bp, dependencies, guard)
    image_pages(bp, dependencies, guard)
    webhook_pages(bp, dependencies, guard)
    settings_pages(bp, dependencies, guard)

    @bp.get("/")
    @open_to_all
    @takes_query
    def home() -> Response:
        """Lead to where people begin: whoever may not upload sees the batches, a stranger the sign-in."""
        visitor = guard.visitor()
        if visitor is None:
            return seen("/console/login")
        return seen("/console/new" if visitor.may("write") else "/console/batches")

    @bp.get("/static/<name>")
    @open_to_all
    @takes_query
    def static(name: str) -> Response:
        """Serve a file of the console; its URL changes with it."""
        media_type = STATIC_FILES.get(name)
        if media_type is None:
            raise _no_page()
        response = Response(static_file(name), mimetype=media_type)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    @bp.get("/<path:_rest>")
    @open_to_all
    @takes_query
    def nothing(_rest: str) -> Response:
        """Say that there is no such page."""
        raise _no_page()

    return bp


def _no_page() -> ApiError:
    return ApiError(Status.NOT_FOUND, SharedReason.ROUTE_NOT_FOUND, "There is no such page in the console.")


def _http_error_page(error: HTTPException) -> Response:
    code = error.code or 500
    status = Status.NOT_FOUND if code == 404 else Status.INVALID_ARGUMENT
    reasons = {404: SharedReason.ROUTE_NOT_FOUND, 413: SharedReason.BODY_TOO_LARGE, 408: SharedReason.BODY_TIMEOUT}
    return error_page(
        ApiError(status, reasons.get(code, SharedReason.BAD_REQUEST), error.description or error.name, http_code=code)
    )
