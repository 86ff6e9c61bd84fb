"""A Flask application with what every service has: request ids, traces, AIP-193 errors, `/health`, one access line."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import structlog
from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from chassis.clock import Clock
from chassis.deadlines import Deadlines
from chassis.errors import ApiError, SharedReason, Status
from chassis.http.answer_pace import ANSWER_PIECE_S, TimedAnswers
from chassis.http.body_pace import (
    BODY_GRACE_S,
    BODY_MIN_BYTES_PER_S,
    BodyPace,
    ClosingRequest,
    TimedBodies,
)
from chassis.http.key_guard import open_to_all
from chassis.http.requests import refuse_unread_query, takes_query
from chassis.limits import over_limit_facts
from chassis.logs import bind_ids, get_logger
from chassis.settings import BODY_TIMEOUT_S
from chassis.tracing import begin_trace

log = get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

_HTTP_REASONS: dict[int, tuple[Status, str]] = {
    400: (Status.INVALID_ARGUMENT, SharedReason.BAD_REQUEST),
    404: (Status.NOT_FOUND, SharedReason.ROUTE_NOT_FOUND),
    405: (Status.UNIMPLEMENTED, SharedReason.METHOD_NOT_ALLOWED),
    408: (Status.DEADLINE_EXCEEDED, SharedReason.BODY_TIMEOUT),
    413: (Status.INVALID_ARGUMENT, SharedReason.BODY_TOO_LARGE),
    415: (Status.INVALID_ARGUMENT, SharedReason.UNSUPPORTED_MEDIA_TYPE),
}


def new_app(
    name: str,
    clock: Clock,
    *,
    max_body_bytes: int,
    body_timeout_s: float = BODY_TIMEOUT_S,
    answer_piece_s: float = ANSWER_PIECE_S,
    former_reasons: Mapping[str, str] = MappingProxyType({}),
) -> Flask:
    """Return a Flask app for the service `name`.

    Args:
        name: the service; the `domain` of its errors.
        clock: measures the time of each request.
        max_body_bytes: larger bodies are answered 413 before they are read.
        body_timeout_s: bodies that take longer are answered 408; slow ones sooner (chassis.http.body_pace).
        answer_piece_s: seconds in which a client must take each piece of its answer (chassis.http.answer_pace).
        former_reasons: what a reason was called in the release before; errors tell it as `former_reason`.
    """
    app = Flask(name, static_folder=None)
    app.request_class = ClosingRequest
    deadlines = Deadlines(clock, name="body-deadlines")
    timed_bodies = TimedBodies(app.wsgi_app, BodyPace(timeout_s=body_timeout_s), clock, deadlines)
    app.wsgi_app = TimedAnswers(timed_bodies, deadlines, piece_s=answer_piece_s)  # type: ignore[method-assign]
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    # Flask would answer OPTIONS itself, past the guard of every route, with the methods that it has.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.json.sort_keys = False  # type: ignore[attr-defined]

    @app.before_request
    def _begin() -> None:
        g.started = clock.monotonic()
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        trace = begin_trace(request.headers, at=clock.now())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(http_request_id=g.request_id, trace=trace.trace_id)
        bind_ids(request.view_args or {})
        task = request.headers.get("X-CloudTasks-TaskName")
        if task:
            structlog.contextvars.bind_contextvars(
                task=task[:100], task_retry=request.headers.get("X-CloudTasks-TaskRetryCount", "")[:10]
            )

    @app.before_request
    def _refuse_unread_query() -> None:
        refuse_unread_query(app.view_functions.get(request.endpoint or ""))

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if request.path != "/health":
            log.info(
                "request.served",
                method=request.method,
                route=request.url_rule.rule if request.url_rule else "",
                code=response.status_code,
                reason=g.get("reason", ""),
                elapsed_ms=round((clock.monotonic() - g.started) * 1000, 1),
            )
        return response

    def answer(error: ApiError) -> Response:
        g.reason = error.reason
        if error.reason in former_reasons:
            error.metadata["former_reason"] = former_reasons[error.reason]
        response = jsonify(error.to_json(domain=name, request_id=g.get("request_id", "")))
        response.status_code = error.http_code
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        if error.http_code == 401:
            # https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2 wants a 401 to say what would help.
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    @app.errorhandler(ApiError)
    def _api_error(error: ApiError) -> Response:
        return answer(error)

    @app.errorhandler(HTTPException)
    def _http_error(error: HTTPException) -> Response:
        code = error.code or 500
        status, reason = _HTTP_REASONS.get(code, (Status.INVALID_ARGUMENT, SharedReason.BAD_REQUEST))
        metadata: dict[str, str] = {}
        message = error.description or error.name
        if code == 413:
            message, metadata = _too_large(max_body_bytes)
        elif code == 408:
            message, metadata = _too_slow(body_timeout_s)
        elif code == 405:
            metadata = {"method": request.method}
            message = f"{request.method} is not allowed on {request.path}."
        elif code == 404:
            message = f"There is no route {request.path}."
        response = answer(ApiError(status, reason, message, metadata=metadata, http_code=code))
        for key, value in error.get_headers():
            if key == "Allow":
                response.headers[key] = value
        return response

    @app.errorhandler(Exception)
    def _bug(error: Exception) -> Response:
        # The one place where an unexpected error ends: logged whole, answered without any inside information.
        log.error("request.crashed", exc_info=error)
        return answer(
            ApiError(
                Status.INTERNAL, SharedReason.INTERNAL, f"Internal error; quote request id {g.get('request_id', '')}."
            )
        )

    @app.get("/health")
    @open_to_all
    @takes_query  # whoever watches may add what he likes against caches
    def health() -> dict[str, Any]:
        """Say that the process is up; it asks nothing of the database, so an outage never restarts the service."""
        return {"status": "ok", "service": name}

    return app


def _too_large(max_body_bytes: int) -> tuple[str, dict[str, str]]:
    limit, size = request.max_content_length or max_body_bytes, request.content_length
    if size is not None and size <= limit:
        # The body is not it: https://flask.palletsprojects.com/en/stable/config/#MAX_FORM_MEMORY_SIZE
        field_bytes, parts = request.max_form_memory_size or 0, request.max_form_parts or 0
        facts = {"limit_name": "max_form_field_bytes", "limit": str(field_bytes), "limit_parts": str(parts)}
        return f"A form may have {field_bytes} bytes in a field that is not a file, and {parts} parts.", facts
    facts = {"limit_bytes": str(limit)}
    if size is None:
        return f"The request body is larger than {limit} bytes.", facts | {"limit_name": "max_body_bytes"}
    facts |= over_limit_facts("max_body_bytes", limit=limit, value=size)
    return f"The request body has {size} bytes; the limit is {limit} bytes.", facts


def _too_slow(body_timeout_s: float) -> tuple[str, dict[str, str]]:
    facts = {
        "limit_name": "body_timeout_s",
        "limit": f"{body_timeout_s:g}",
        "limit_bytes_per_s": str(BODY_MIN_BYTES_PER_S),
    }
    message = (
        f"The request body came too slowly: it has {body_timeout_s:g} s, and after the first {BODY_GRACE_S:g} s must"
        f" have come at {BODY_MIN_BYTES_PER_S} bytes a second. Send the request again."
    )
    return message, facts
