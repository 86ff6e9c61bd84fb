"""What every page of the console needs around its content: who looks, what was just done, and errors as pages."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from flask import Response, g, redirect, request

from chassis.errors import ApiError, SharedReason, Status
from chassis.logs import get_logger
from ingest.console import rendering
from ingest.console.batch_view import TONES
from ingest.console.visitors import FRAGMENT_HEADER, current_visitor

log = get_logger(__name__)

DONE = {
    "cancelled": "The batch is being cancelled; finished images keep their outputs.",
    "retried": "The failed images are tried again.",
    "deleted": "The endpoint is deleted; nothing more is sent to it.",
    "changed": "The endpoint is changed.",
    "tested": "A test event is on its way.",
    "redelivered": "What was asked for is sent again, under its old webhook-id.",
    "started": "The batch has been accepted. You may close this page; it goes on.",
}
"""What a page says after something was done; the URL names it, so that nobody can make a page say something else."""

_TITLES = {
    400: "That cannot be done",
    401: "Please sign in",
    403: "Not allowed",
    404: "Not found",
    413: "Too large",
    429: "Too much at once",
    500: "Something broke",
    503: "Not available at the moment",
}


def page(template: str, *, here: str = "", **values: Any) -> Response:
    """Return a page within the frame; `here` is the entry of the navigation that it belongs to."""
    said = DONE.get(request.args.get("done", ""))
    return rendering.page(template, visitor=current_visitor(), here=here, said=said, tones=TONES, **values)


def fragment(template: str, *, final: bool, **values: Any) -> Response:
    """Return a piece of a page for the script, with an ETag; `final` tells it to ask no more."""
    response = rendering.fragment(template, visitor=current_visitor(), tones=TONES, **values)
    if final:
        response.headers["X-Console-Final"] = "1"
    return response


def seen(path: str, **query: str) -> Response:
    """Return the answer to a form: a page to look at (303), so that reloading it repeats nothing."""
    given = urlencode({name: value for name, value in query.items() if value})
    return cast(Response, redirect(path + (f"?{given}" if given else ""), code=303))


def error_page(error: ApiError) -> Response:
    """Return an error as a page with its code and the id of the request."""
    g.reason = error.reason
    if FRAGMENT_HEADER in request.headers:
        # The script shows what it has; it only needs to know that this was no answer.
        return Response(error.message, status=error.http_code, mimetype="text/plain")
    response = rendering.page(
        "error.html",
        code=error.http_code,
        http_code=error.http_code,
        title=_TITLES.get(error.http_code, "That cannot be done"),
        message=error.message,
        reason=error.reason,
        violations=error.violations,
        request_id=g.get("request_id", ""),
    )
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def crash_page(error: Exception) -> Response:
    """Log an unexpected error whole and return a page that tells nothing of it but the id of the request."""
    log.error("request.crashed", exc_info=error)
    return error_page(
        ApiError(Status.INTERNAL, SharedReason.INTERNAL, "An internal error. The id below leads to it in the logs.")
    )
