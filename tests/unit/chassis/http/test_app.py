"""What every service's application has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask import Flask, request
from jsonschema import Draft202012Validator

from chassis.clock import SystemClock
from chassis.errors import ApiError, Status, unavailable
from chassis.http.app import new_app
from chassis.http.requests import takes_query
from chassis.tracing import trace_headers
from support.json_answers import json_of

SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[4] / "workflows" / "contracts" / "error.schema.json").read_text())
)


@pytest.fixture
def app() -> Flask:
    app = new_app("service", SystemClock(), max_body_bytes=100)

    @app.post("/echo")
    @takes_query
    def echo() -> dict[str, Any]:
        return {"size": len(request.get_data()), "trace": trace_headers()}

    @app.get("/down")
    def down() -> dict[str, Any]:
        raise unavailable("DATABASE_BUSY", "Busy.", retry_after_s=4)

    @app.get("/bug")
    def bug() -> dict[str, Any]:
        message = "the password is hunter2"
        raise KeyError(message)

    @app.get("/teapot")
    def teapot() -> dict[str, Any]:
        raise ApiError(Status.INVALID_ARGUMENT, "TEAPOT", "No coffee.", http_code=418)

    return app


def error_of(response: Any) -> tuple[int, str, str]:
    SCHEMA.validate(response.json)
    assert response.content_type == "application/json"
    error = response.json["error"]
    assert error["details"][0]["domain"] == "service"
    return response.status_code, error["status"], error["details"][0]["reason"]


def test_health_says_that_the_process_is_up(app: Flask) -> None:
    """It asks nobody else."""
    response = app.test_client().get("/health")

    assert (response.status_code, response.json) == (200, {"status": "ok", "service": "service"})


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/nowhere", b"", (404, "NOT_FOUND", "ROUTE_NOT_FOUND")),
        ("GET", "/echo", b"", (405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED")),
        ("POST", "/echo", b"x" * 101, (413, "INVALID_ARGUMENT", "BODY_TOO_LARGE")),
        ("GET", "/down", b"", (503, "UNAVAILABLE", "DATABASE_BUSY")),
        ("GET", "/bug", b"", (500, "INTERNAL", "INTERNAL")),
        ("GET", "/teapot", b"", (418, "INVALID_ARGUMENT", "TEAPOT")),
    ],
)
def test_every_error_has_the_one_form(
    app: Flask, method: str, path: str, body: bytes, expected: tuple[int, str, str]
) -> None:
    """Flask's own errors, ours, and bugs."""
    with structlog.testing.capture_logs():
        assert error_of(app.test_client().open(path, method=method, data=body)) == expected


def test_a_bug_is_answered_without_inside_information(app: Flask) -> None:
    """The caller learns a request id; the log has the rest."""
    with structlog.testing.capture_logs() as logs:
        response = app.test_client().get("/bug", headers={"X-Request-Id": "req-7"})

    assert "hunter2" not in response.text
    assert "req-7" in json_of(response)["error"]["message"]
    assert [line["event"] for line in logs] == ["request.crashed", "request.served"]


def test_unavailable_says_when_to_come_again(app: Flask) -> None:
    """As a header and in the body."""
    response = app.test_client().get("/down")

    assert response.headers["Retry-After"] == "4"
    assert json_of(response)["error"]["details"][2]["retryDelay"] == "4s"


def test_a_wrong_method_names_the_right_ones(app: Flask) -> None:
    """RFC 9110 wants Allow with a 405."""
    assert "POST" in app.test_client().get("/echo").headers["Allow"]


@pytest.mark.fault("J2")
@pytest.mark.parametrize(("given", "kept"), [("req-1", True), ("a b", False), ("x" * 200, False), ("é", False)])
def test_a_request_id_is_kept_when_harmless_and_made_otherwise(app: Flask, given: str, kept: bool) -> None:
    """It goes into logs and headers."""
    answered = app.test_client().get("/health", headers={"X-Request-Id": given}).headers["X-Request-Id"]

    assert (answered == given) is kept
    assert answered


def test_the_callers_trace_is_carried_on(app: Flask) -> None:
    """Same trace id, new span, for outgoing calls."""
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    for headers in (
        {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"},
        {"X-Cloud-Trace-Context": f"{trace_id}/12345;o=1"},
    ):
        sent = json_of(app.test_client().post("/echo", headers=headers))["trace"]["traceparent"]

        assert sent.startswith(f"00-{trace_id}-")
        assert "b7ad6b7169203331" not in sent


@pytest.mark.fault("J1")
def test_one_access_line_is_logged_per_request_without_query_or_body(app: Flask) -> None:
    """The route, not the path; the code, the reason, the time."""
    with structlog.testing.capture_logs() as logs:
        app.test_client().post("/echo?token=secret", data=b"secret")

    (line,) = logs
    assert (line["event"], line["route"], line["code"]) == ("request.served", "/echo", 200)
    assert "secret" not in str(line)


def test_health_checks_are_not_logged(app: Flask) -> None:
    """They come every few seconds."""
    with structlog.testing.capture_logs() as logs:
        app.test_client().get("/health")

    assert logs == []
