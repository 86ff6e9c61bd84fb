"""Both OpenAPI documents against the running services: whatever a client sends, the answer is a documented one."""

from __future__ import annotations

import os
from functools import cache
from http import HTTPStatus
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from chassis.http.openapi import Operation
from ingest.http.openapi import OPERATIONS as INGEST
from localcloud.stack.blocking import Stack
from reporter.http.openapi import OPERATIONS as REPORTER

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

EXAMPLES = int(os.environ.get("PRESSROOM_FUZZ_EXAMPLES", "12"))
"""Requests an operation, valid and invalid ones; `make fuzz` asks for more."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]

GUNICORN_LINE = 4094
"""Longest request line gunicorn reads (its default `limit_request_line`), bytes."""


@cache
def document_of(url: str) -> OpenApiSchema:
    """Return a service's document as it is served."""
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.fault("F22")
@pytest.mark.parametrize(
    ("service", "operation"),
    [
        pytest.param(service, operation, id=f"{service} {operation.method} {operation.path}")
        for service, operations in (("ingest", INGEST), ("reporter", REPORTER))
        for operation in operations
    ],
)
def test_every_answer_is_a_documented_one(stack: Stack, service: str, operation: Operation) -> None:
    """No request, right or wrong, gets a 5xx, an undocumented code, media type or shape; wrong ones are refused."""
    described = document_of(stack.url(service))[operation.path][operation.method]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=described.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
        | described.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    )
    def send(case: schemathesis.Case[Any]) -> None:
        answer = case.call(timeout=30)
        if answer.status_code == HTTPStatus.REQUEST_URI_TOO_LONG:
            # gunicorn ends such a request before the application sees it.
            assert len(answer.request.path_url) > GUNICORN_LINE - 100
            return
        case.validate_response(answer, checks=CHECKS)

    send()
