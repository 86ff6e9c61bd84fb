"""Bytes that change on their way to Cloud Storage: what is stored is what was compressed, or nothing is."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import google_crc32c
import pytest
import requests

from support import pictures
from support.compressor_service import RecordingIngest, task
from support.scripted_origin import Exchange, ScriptedOrigin, answer

JSON = [("Content-Type", "application/json")]


def media_of(body: bytes) -> tuple[dict[str, Any], bytes]:
    """Return metadata and bytes of a multipart upload."""
    boundary = body.split(b"\r\n", 1)[0]
    _, described, carried, _ = body.split(boundary)
    facts: dict[str, Any] = json.loads(described.partition(b"\r\n\r\n")[2])
    return facts, carried.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


@pytest.mark.fault("C4")
def test_a_damaged_upload_is_refused_by_its_checksum_and_the_task_comes_again(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest, storage_emulator: Any
) -> None:
    """One byte flips on the way. The upload declares its CRC32C, which Cloud Storage holds against what arrived.

    https://cloud.google.com/storage/docs/data-validation: a mismatch is 400 and stores nothing; the emulator does not
    look, so the proxy before it does.
    """
    damaged: list[bytes] = []

    def forward(exchange: Exchange) -> None:
        request = exchange.request
        body = request.body
        if request.method == "POST" and not damaged:
            at = body.index(b"\xff\xd8\xff") + 200
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            damaged.append(body)
        if request.method == "POST":
            facts, media = media_of(body)
            if base64.b64decode(facts["crc32c"]) != google_crc32c.value(media).to_bytes(4):
                answer(b'{"error": {"code": 400, "message": "CRC32C"}}', status=400, headers=JSON)(exchange)
                return
        kind = {"content-type": request.headers.get("content-type", "")}
        url = storage_emulator.base_url + request.target
        got = requests.request(request.method, url, data=body, headers=kind, timeout=10)
        answer(got.content, status=got.status_code, headers=JSON)(exchange)

    with ScriptedOrigin() as proxy:
        proxy.on("/", forward)
        service = make_service(api_endpoint=proxy.url("").rstrip("/"))
        body = task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48))))
        first = service.post(body)
        objects = service.objects()
        second = service.post(body)

    assert (len(damaged), first.status_code, objects) == (1, 503, [])
    assert first.json["error"]["details"][0]["reason"] == "STORAGE_REFUSED"
    assert second.status_code == 200, second.text
    (stored,) = service.objects()
    assert [outcome["sha256"] for outcome in ingest.outcomes] == [
        hashlib.sha256(stored.download_as_bytes()).hexdigest()
    ]


@pytest.mark.fault("C4")
def test_an_upload_that_breaks_off_is_sent_again(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest, storage_emulator: Any
) -> None:
    """The connection ends without an answer and nothing was stored: the client tries again, one object is there."""
    broken: list[str] = []

    def forward(exchange: Exchange) -> None:
        request = exchange.request
        if request.method == "POST" and not broken:
            broken.append(request.target)
            return
        kind = {"content-type": request.headers.get("content-type", "")}
        url = storage_emulator.base_url + request.target
        got = requests.request(request.method, url, data=request.body, headers=kind, timeout=10)
        answer(got.content, status=got.status_code, headers=JSON)(exchange)

    with ScriptedOrigin() as proxy:
        proxy.on("/", forward)
        service = make_service(api_endpoint=proxy.url("").rstrip("/"))
        response = service.post(task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))))

    assert (len(broken), response.status_code) == (1, 200)
    assert len(service.objects()) == 1
    assert [outcome["code"] for outcome in ingest.outcomes] == ["OK"]
