"""Both OpenAPI documents against the running services: whatever a client sends, the answer is a documented one."""

from __future__ import annotations

import base64
import json
import os
import re
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
import requests
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


AN_ID = "6b1f2d3e-0000-4000-8000-000000000001"
ODD_IDS = [
    f"{AN_ID}%0A",
    f"%0A{AN_ID}",
    f"{AN_ID}%00",
    f"{AN_ID}%0D%0A",
    "%FF",
    "%ED%A0%80",
    AN_ID.replace("-", ""),
    "0",
]
ODD_TIMES: list[Any] = [
    *(f"2026-11-22T10:42:04{zone}" for zone in ("+16:00", "-23:59", "+00:00:30", "+99999999999999999999", "Z\n", "")),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z", 5, 1e300, None, []),
]
ODD_PARTS = [{"alg": "RS256", "kid": ["a"]}, {"alg": [], "kid": {}}, [], "a", None]


def encoded(content: Any) -> str:
    """Return content as a part of a token has it."""
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


ODD_TOKENS = [
    *("\x00", "x\n", "é", "W10", encoded("[" * 700), encoded(["requests/", True]), encoded("1" * 700)),
    *(encoded([scope, time, AN_ID]) for scope in ("requests/", "webhooks") for time in ODD_TIMES),
    *(encoded([scope, number]) for scope in ("requests/", AN_ID) for number in (0, -1, 2**31, 2**63, 1.5)),
]
ODD_JWTS = [
    *(f"{encoded(part)}.{encoded(other)}.{encoded('s')}" for part in ODD_PARTS for other in ODD_PARTS),
    f"{encoded('[' * 1500)}.e30.e30",
    f"e30.{encoded('[' * 1500)}.e30",
]


@pytest.mark.fault("F22")
@pytest.mark.parametrize("service", ["ingest", "reporter"])
def test_no_known_odd_shape_is_a_500(stack: Stack, service: str) -> None:
    """Ids with a newline, page tokens and times with odd zones, tokens of any JSON: each at every operation."""
    operations = {"ingest": INGEST, "reporter": REPORTER}[service]
    root = stack.url(service)
    requested: list[tuple[str, str, dict[str, Any]]] = []
    for operation in operations:
        path = re.sub(r"{[^}]+}", AN_ID, operation.path)
        odd_paths = [re.sub(r"{[^}]+}", odd, operation.path) for odd in ODD_IDS] if "{" in operation.path else []
        fields = () if operation.query is None else operation.query.model_fields
        odd_values = [*ODD_TOKENS, *map(unquote_to_bytes, ODD_IDS)]
        requested += [(operation.method, odd, {}) for odd in odd_paths]
        requested += [(operation.method, path, {"params": {name: odd}}) for name in fields for odd in odd_values]
        requested += [(operation.method, path, {"headers": {"Authorization": f"Bearer {jwt}"}}) for jwt in ODD_JWTS]
        if operation.body is not None and "since" in operation.body.model_fields:
            requested += [(operation.method, path, {"json": {"since": odd}}) for odd in ODD_TIMES]
        if operation.body is not None and "request_id" in operation.body.model_fields:
            odd_ids = [unquote(odd) for odd in ODD_IDS]
            requested += [(operation.method, path, {"json": {"request_id": odd}}) for odd in odd_ids]
    with requests.Session() as session:
        answers = [(made, session.request(made[0], root + made[1], timeout=30, **made[2])) for made in requested]

    assert len(answers) > 300
    assert [
        (made, got.text[:200]) for made, got in answers if got.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    ] == []
