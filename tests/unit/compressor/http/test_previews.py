"""POST /internal/previews: what people look at is WebP of our own codec, and nothing is kept."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from chassis.errors import ApiError
from chassis.peer_service import InternalService
from ingest.clients.previews import CompressorPreviews
from ingest.options import ImageOptions
from localcloud.identity.engine.issuer import TokenIssuer
from support import pictures
from support.compressor_service import AUDIENCE, INGEST_ACCOUNT, RecordingIngest, Service, task
from support.console_site import served
from support.scripted_origin import ScriptedOrigin, answer


def picture(preview: dict[str, Any]) -> Image.Image:
    """Return the picture of an answer, which is WebP."""
    opened = Image.open(io.BytesIO(base64.b64decode(preview["webp"])))
    assert opened.format == "WEBP"
    return opened


def stored_url(service: Service, url: str, ingest: RecordingIngest) -> str:
    """Compress an image and return its output URL."""
    assert service.post(task(url)).status_code == 200
    return str(ingest.outcomes[-1]["output_url"])


def test_a_stored_image_is_drawn_small(service: Service, origin: ScriptedOrigin, ingest: RecordingIngest) -> None:
    output_url = stored_url(service, origin.on("/a.jpg", answer(pictures.photo_jpeg(320, 240))), ingest)

    response = service.preview(output_url=output_url, side=64)

    assert response.status_code == 200, response.text
    assert picture(response.json).size == (64, 48)
    assert response.json["bytes"] == ingest.outcomes[-1]["bytes_out"]


@pytest.mark.parametrize("changed", [False, True])
def test_a_source_is_compared_with_what_was_compressed(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest, changed: bool
) -> None:
    url = origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))
    output_url = stored_url(service, url, ingest)
    origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48, seed=2 if changed else 1)))

    response = service.preview(url=url, output_url=output_url, side=64)

    assert response.json["source_changed"] is changed


def test_a_trial_shows_both_and_stores_nothing(service: Service, origin: ScriptedOrigin) -> None:
    source = pictures.photo_jpeg(320, 240)
    options = {"quality": 30, "format": "jpeg", "max_width": 100}

    response = service.preview(url=origin.on("/a.jpg", answer(source)), side=200, options=options)

    assert response.json["before"]["bytes"] == len(source)
    assert response.json["after"]["bytes"] < len(source)
    assert picture(response.json["before"]).size == (200, 150)
    assert picture(response.json["after"]).size == (100, 75)
    assert service.objects() == []


def test_bytes_of_an_origin_are_never_passed_on(service: Service, origin: ScriptedOrigin) -> None:
    """A WebP that cannot be made smaller is kept as it is by a compression; a preview draws it anew."""
    tiny = pictures.encoded(Image.new("RGB", (16, 16), "red"), "WEBP", quality=1)
    marked = tiny + b"secret trailing bytes"

    response = service.preview(url=origin.on("/a.webp", answer(marked)), side=64)

    assert response.status_code == 200, response.text
    data = base64.b64decode(response.json["webp"])
    assert picture(response.json).size == (16, 16)
    assert data not in marked


@pytest.mark.threat("T1")
def test_a_preview_goes_nowhere_that_a_compression_may_not(service: Service) -> None:
    response = service.preview(url="http://10.0.0.1/a.jpg", side=64)

    assert response.status_code == 400
    assert response.json["error"]["details"][0]["reason"] == "PREVIEW_FAILED"
    assert response.json["error"]["details"][0]["metadata"]["code"] == "URL_FORBIDDEN"


def test_a_page_that_is_no_picture_is_told(service: Service, origin: ScriptedOrigin) -> None:
    response = service.preview(url=origin.on("/a.jpg", answer(b"<!doctype html><p>log in")), side=64)

    assert response.json["error"]["details"][0]["metadata"]["code"] == "NOT_AN_IMAGE"


@pytest.mark.parametrize(
    "url",
    [
        "https://storage.googleapis.com/images/images/aa/" + "a" * 64 + ".jpg",
        "https://storage.googleapis.com/other/images/aa/" + "a" * 64 + ".jpg",
        "https://storage.googleapis.com/images/images/../secret.jpg",
    ],
)
def test_what_is_not_in_the_bucket_is_gone(service: Service, url: str) -> None:
    response = service.preview(output_url=re.sub("/images/", f"/{service.bucket.name}/", url, count=1), side=64)

    assert response.status_code == 404
    assert response.json["error"]["details"][0]["reason"] == "OBJECT_GONE"


@pytest.mark.parametrize(
    "body",
    [
        {"side": 64},
        {"output_url": "x", "options": {"quality": 1, "format": "jpeg"}, "side": 64},
        {"url": "http://a.test/", "side": 5000},
    ],
)
def test_a_request_that_says_too_little_or_too_much_is_refused(service: Service, body: dict[str, Any]) -> None:
    response = service.preview(**body)

    assert response.status_code == 400
    assert response.json["error"]["details"][0]["reason"] == "FIELD_INVALID"


@dataclass(frozen=True, slots=True)
class IngestTokens:
    """Tokens of ingest's account."""

    issuer: TokenIssuer

    def token(self, _audience: str) -> str:
        """Return a token for the compressor, wherever it is served here."""
        return self.issuer.mint_id_token(INGEST_ACCOUNT, AUDIENCE)


def test_the_client_of_ingest_reads_every_answer(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """What the console shows comes by this client, over HTTP."""
    url = origin.on("/a.jpg", answer(pictures.photo_jpeg(320, 240)))
    output_url = stored_url(service, url, ingest)
    with served(service.app) as root:
        client = CompressorPreviews(InternalService("compressor", root, IngestTokens(service.issuer)))
        stored, source = client.stored(output_url, 64), client.source(url, 200, output_url)
        trial = client.trial(url, 100, ImageOptions(quality=20, format="webp").model_dump())
        with pytest.raises(ApiError) as refused:
            client.source("http://10.0.0.1/", 64, None)

    assert (stored.width, stored.height, stored.source_changed) == (64, 48, None)
    assert (source.width, source.source_changed) == (200, False)
    assert (trial.format, trial.before.width) == ("webp", 100)
    assert trial.after.shown_bytes < trial.before.shown_bytes
    assert (refused.value.http_code, refused.value.reason) == (400, "PREVIEW_FAILED")
