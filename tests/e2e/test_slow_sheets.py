"""Small sheets that once took minutes: six at once leave the service answering (real gunicorn, real HTTP)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from localcloud.stack.blocking import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MAX_HEALTH_S = 3.0
"""It is below 1 s alone on a machine; the bound allows for what else runs there. It was 85 s."""

HEADER = b"Product Name,Input Image Urls\nLamp,"
SHEETS = (
    HEADER + b"a" * 60_000 + b"\xe9\n",
    HEADER + b'"https://a.example/1' + b"," * 60_000 + b'x"\n',
    HEADER + b'"http://a/' + b"?" * 60_000 + b', http://b"\n',
    HEADER + b'"https://a.example/1' + b" a.jpg" * 10_000 + b'"\n',
    HEADER + b'"https://a.example/1' + b"/https://b" * 6_000 + b'"\n',
    HEADER + "стол,".encode("cp1251") * 12_000 + b"\n",
)


def test_six_of_the_slowest_sheets_at_once_leave_health_alone(stack: Stack) -> None:
    """Whoever asks meanwhile is answered."""

    def upload(body: bytes) -> int:
        files = {"file": ("sheet.csv", body)}
        url = f"{stack.url('ingest')}/upload"
        return requests.post(url, data={"validate_only": "true"}, files=files, timeout=60).status_code

    waited = [0.0]
    with ThreadPoolExecutor(len(SHEETS)) as pool:
        uploads = [pool.submit(upload, body) for body in SHEETS]
        while not all(each.done() for each in uploads):
            begun = time.monotonic()
            assert requests.get(f"{stack.url('ingest')}/health", timeout=30).status_code == 200
            waited.append(time.monotonic() - begun)
    assert {each.result() for each in uploads} <= {200, 400}
    assert max(waited) < MAX_HEALTH_S
