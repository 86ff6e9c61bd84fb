"""Bad input over real HTTP: each a clear AIP-193 error with its reason, and nothing half-stored."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from contract.schemas import assert_matches
from e2e.shop import Shop
from localcloud.stack.blocking import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

HEADER = b"S. No.,Product Name,Input Image Urls\n"
MIB = 1024 * 1024

NOBODYS_ID = "00000000-0000-4000-8000-000000000000"

SHEETS = [
    pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(200), 400, "SHEET_INVALID", id="not a CSV"),
    pytest.param(b"", 400, "SHEET_INVALID", id="empty file"),
    pytest.param(b"S. No.,Product Name\n1,Lamp\n", 400, "SHEET_INVALID", id="missing column"),
    pytest.param(HEADER + b"1,Lamp,ftp://cdn.example/a.jpg\n", 400, "SHEET_INVALID", id="not http"),
    pytest.param(HEADER + b"1,Lamp,https://cdn.example/a.jpg\n" * (40 * MIB // 33), 413, "BODY_TOO_LARGE", id="40 MB"),
]


def reason_of(answer: requests.Response) -> str:
    """Return the reason of an error that has the form of its contract."""
    body = answer.json()
    assert_matches("error", body)
    info = next(d for d in body["error"]["details"] if d["@type"].endswith("ErrorInfo"))
    return str(info["reason"])


@pytest.mark.parametrize(("sheet", "code", "reason"), SHEETS)
def test_bad_sheet_is_refused_and_stores_nothing(stack: Stack, sheet: bytes, code: int, reason: str) -> None:
    """The answer says what is wrong, and no batch exists afterwards that did not before."""
    newest = f"{stack.url('ingest')}/requests"
    before = requests.get(newest, timeout=10).json()["requests"]

    answer = requests.post(f"{stack.url('ingest')}/upload", files={"file": ("sheet.csv", sheet)}, timeout=60)

    assert (answer.status_code, reason_of(answer)) == (code, reason)
    assert requests.get(newest, timeout=10).json()["requests"] == before


@pytest.mark.parametrize(
    ("service", "method", "path", "code", "reason"),
    [
        ("ingest", "GET", f"/status/{NOBODYS_ID}", 404, "BATCH_NOT_FOUND"),
        ("ingest", "GET", "/status?request_id=nonsense", 400, "REQUEST_ID_INVALID"),
        ("ingest", "DELETE", "/upload", 405, "METHOD_NOT_ALLOWED"),
        ("ingest", "GET", "/nowhere", 404, "ROUTE_NOT_FOUND"),
        ("ingest", "POST", "/process", 401, "TOKEN_MISSING"),
        ("compressor", "POST", "/compress", 401, "TOKEN_MISSING"),
        ("compressor", "GET", "/compress", 405, "METHOD_NOT_ALLOWED"),
        ("reporter", "POST", "/internal/reports", 401, "TOKEN_MISSING"),
        ("reporter", "GET", f"/download_csv?request_id={NOBODYS_ID}", 404, "REPORT_NOT_FOUND"),
    ],
)
def test_bad_request_is_answered_with_its_reason(
    stack: Stack, service: str, method: str, path: str, code: int, reason: str
) -> None:
    """Every service answers in one form."""
    answer = requests.request(method, stack.url(service) + path, timeout=10)

    assert (answer.status_code, reason_of(answer)) == (code, reason)


def test_every_problem_of_a_sheet_is_in_one_answer(stack: Stack, shop: Shop) -> None:
    """Rows and columns of all faults are named at once."""
    sheet = (
        HEADER
        + b"1,Lamp,ftp://cdn.example/a.jpg\n2,Chair,https://cdn.example/b.jpg\n3,Vase,https://u:p@cdn.example/c.jpg\n"
    )

    answer = requests.post(f"{stack.url('ingest')}/upload", files={"file": ("sheet.csv", sheet)}, timeout=10)

    details: list[dict[str, Any]] = answer.json()["error"]["details"]
    problems = next(d["problems"] for d in details if "problems" in d)
    assert [(problem["row"], problem["column"]) for problem in problems] == [
        (2, "Input Image Urls"),
        (4, "Input Image Urls"),
    ]
