"""The one error form: AIP-193."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from chassis.errors import (
    HTTP_CODES,
    ApiError,
    FieldViolation,
    Status,
    aborted,
    failed_precondition,
    invalid_argument,
    not_found,
    payload_too_large,
    unavailable,
)

SCHEMA = Path(__file__).parents[3] / "workflows" / "contracts" / "error.schema.json"


def test_every_status_has_an_http_code() -> None:
    """No status can be raised that has no answer."""
    assert set(HTTP_CODES) == set(Status)


@pytest.mark.parametrize("status", list(Status))
def test_every_status_makes_a_body_of_the_contract(status: Status) -> None:
    """Whatever is raised, the body is the one that workflows are written for."""
    error = ApiError(status, "SOME_REASON", "Something is wrong.", metadata={"limit": "5"}, retry_after_s=3)

    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(error.to_json(domain="ingest", request_id="r"))


def test_the_body_is_complete() -> None:
    """Code, status, message, ErrorInfo, RequestInfo, BadRequest and RetryInfo, in Google's spelling."""
    error = ApiError(
        Status.INVALID_ARGUMENT,
        "BAD_SHEET",
        "Row 3 is bad.",
        metadata={"row": "3"},
        violations=[FieldViolation("rows[3].url", "has no host", "URL_INVALID")],
        retry_after_s=7,
        extra_details=[{"@type": "type.googleapis.com/google.rpc.Help", "links": []}],
    )

    assert error.to_json(domain="ingest", request_id="req-1") == {
        "error": {
            "code": 400,
            "status": "INVALID_ARGUMENT",
            "message": "Row 3 is bad.",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "BAD_SHEET",
                    "domain": "ingest",
                    "metadata": {"row": "3"},
                },
                {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "req-1"},
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [
                        {"field": "rows[3].url", "description": "has no host", "reason": "URL_INVALID"}
                    ],
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"},
                {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
            ],
        }
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (invalid_argument("R", "m", limit="5"), 400),
        (not_found("R", "m"), 404),
        (failed_precondition("R", "m"), 400),
        (aborted("R", "m"), 409),
        (unavailable("R", "m"), 503),
        (payload_too_large("R", "m", limit="5"), 413),
    ],
    ids=lambda value: value.status.value if isinstance(value, ApiError) else str(value),
)
def test_the_named_errors_have_their_codes(error: ApiError, code: int) -> None:
    """Only 503 brings a Retry-After of its own."""
    assert error.http_code == code
    assert (error.retry_after_s is not None) == (code == 503)
