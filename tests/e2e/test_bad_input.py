"""Bad input over real HTTP: each a clear AIP-193 error with its reason, and nothing half-stored."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from localcloud.stack.blocking import Stack
from support.payload_schemas import assert_matches
from support.shop_client import Shop

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
        ("ingest-internal", "POST", "/process", 401, "TOKEN_MISSING"),
        ("compressor", "POST", "/compress", 401, "TOKEN_MISSING"),
        ("compressor", "GET", "/compress", 405, "METHOD_NOT_ALLOWED"),
        ("reporter-internal", "POST", "/internal/reports", 401, "TOKEN_MISSING"),
        ("reporter", "GET", f"/download_csv?request_id={NOBODYS_ID}", 404, "REPORT_NOT_FOUND"),
    ],
)
def test_bad_request_is_answered_with_its_reason(
    stack: Stack, service: str, method: str, path: str, code: int, reason: str
) -> None:
    """Every service answers in one form."""
    answer = requests.request(method, stack.url(service) + path, timeout=10)

    assert (answer.status_code, reason_of(answer)) == (code, reason)


@pytest.mark.fault("F1")
@pytest.mark.threat("T6")
def test_a_body_of_unknown_length_ends_at_the_limit(stack: Stack) -> None:
    """Chunked, without Content-Length: it is not read to its end."""
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n' + HEADER
        for _ in range(400):
            sent += 1
            yield b"1,Lamp,https://cdn.example/a.jpg\n" * (MIB // 33)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        code = requests.post(f"{stack.url('ingest')}/upload", data=pieces(), headers=headers, timeout=60).status_code
    except requests.ConnectionError:
        code = 413  # the answer came and the connection was closed while we were still sending

    assert (code, sent < 400) == (413, True)
    assert requests.get(f"{stack.url('ingest')}/health", timeout=10).status_code == 200


@pytest.mark.fault("F18")
@pytest.mark.threat("T6")
def test_a_client_that_leaves_in_the_middle_of_its_sheet_leaves_nothing(stack: Stack) -> None:
    """Half a sheet would be a batch that nobody meant; the worker is free again."""
    newest = f"{stack.url('ingest')}/requests"
    before = requests.get(newest, timeout=10).json()["requests"]
    at = urlsplit(stack.url("ingest"))
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n' + HEADER
    head = f"POST /upload HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: 5000\r\n".encode()
    for _ in range(20):  # more than there are threads
        with socket.create_connection((str(at.hostname), int(at.port or 80)), timeout=10) as connection:
            connection.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + body)
            connection.sendall(b"1,Lamp,https://cdn.example/a.jpg\n")

    assert requests.get(newest, timeout=10).json()["requests"] == before


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
