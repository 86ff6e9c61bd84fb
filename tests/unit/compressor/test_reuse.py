"""A second run: what has not changed since an earlier batch is neither sent, decoded nor stored again."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from compressor.origin.validators import NO_VALIDATORS, Validators, validators_of
from support import pictures
from support.compressor_service import RecordingIngest, Service, task
from support.scripted_origin import Exchange, ScriptedOrigin, answer

CHANGED = "Sun, 29 Nov 2026 10:00:00 GMT"
LATER = "Sun, 29 Nov 2026 10:00:05 GMT"
PICTURE, OTHER = pictures.photo_jpeg(64, 48), pictures.photo_jpeg(80, 60)


def with_etag(body: bytes, *, etag: str = '"v1"', lies: bool = False) -> Any:
    """Return a script that answers 304 to whoever has the ETag; `lies`: to whoever has any."""

    def script(exchange: Exchange) -> None:
        asked = exchange.request.headers.get("if-none-match")
        if asked == etag or (asked and lies):
            answer(b"", status=304, headers=[("ETag", etag)])(exchange)
        else:
            answer(body, headers=[("ETag", etag)])(exchange)

    return script


def known_by(outcome: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return what ingest says of a URL whose outcome it has recorded."""
    names = ("etag", "last_modified", "source_sha256", "bytes_in", "format")
    return {name: outcome[name] for name in names} | changes


def run_twice(
    service: Service, ingest: RecordingIngest, url: str, **second: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compress a URL as an unknown one and then as a known one; return both outcomes."""
    assert service.post(task(url)).status_code == 200
    body = task(url, known=known_by(ingest.outcomes[-1])) | second
    assert service.post(body).status_code == 200
    first, again = ingest.outcomes[-2:]
    return first, again


@pytest.mark.feature("22")
def test_an_unchanged_picture_is_not_sent_again(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """The origin says 304: the same output with the same measures, marked as reused."""
    first, again = run_twice(service, ingest, origin.on("/a.jpg", with_etag(PICTURE)))

    same = ("output_url", "bytes_in", "bytes_out", "width", "height", "format", "sha256", "source_sha256", "etag")
    assert {name: again[name] for name in same} == {name: first[name] for name in same}
    assert (first["reused"], again["reused"], again["detail"]) == (False, True, "REUSED")
    assert origin.received[-1].headers["if-none-match"] == '"v1"'
    assert len(service.objects()) == 1


@pytest.mark.feature("22")
def test_without_validators_equal_bytes_are_found_before_they_are_decoded(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture is sent again, and its hash is that of the known one."""
    url = origin.on("/a.jpg", answer(PICTURE))
    assert service.post(task(url)).status_code == 200
    monkeypatch.setattr("compressor.sandbox.pool.CodecPool.compress", None)

    assert service.post(task(url, known=known_by(ingest.outcomes[-1]))).status_code == 200

    first, again = ingest.outcomes
    assert (again["output_url"], again["reused"]) == (first["output_url"], True)
    assert (first["etag"], first["last_modified"]) == (None, None)


@pytest.mark.parametrize("script", [answer, lambda body: with_etag(body, etag='"v2"')])
def test_a_changed_picture_is_compressed_anew(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest, script: Any
) -> None:
    """With validators and without: never yesterday's picture."""
    url = origin.on("/a.jpg", with_etag(PICTURE))
    assert service.post(task(url)).status_code == 200
    origin.on("/a.jpg", script(OTHER))

    assert service.post(task(url, known=known_by(ingest.outcomes[-1]))).status_code == 200

    first, again = ingest.outcomes
    assert again["output_url"] != first["output_url"]
    assert (again["reused"], again["width"]) == (False, 80)
    assert again["source_sha256"] == hashlib.sha256(OTHER).hexdigest()


def test_an_origin_that_lies_costs_staleness_and_nothing_else(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """A wrong 304 gives the earlier output; whoever does not ask conditionally (`fresh`) gets the new one."""
    url = origin.on("/a.jpg", with_etag(PICTURE))
    assert service.post(task(url)).status_code == 200
    origin.on("/a.jpg", with_etag(OTHER, etag='"v2"', lies=True))

    assert service.post(task(url, known=known_by(ingest.outcomes[-1]))).status_code == 200
    assert service.post(task(url)).status_code == 200

    first, stale, fresh = ingest.outcomes
    assert (stale["output_url"], stale["reused"]) == (first["output_url"], True)
    assert (fresh["width"], fresh["reused"]) == (80, False)


def test_an_output_that_is_gone_is_made_again(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """The bucket's retention has deleted it: the picture is asked for without a condition."""
    url = origin.on("/a.jpg", with_etag(PICTURE))
    assert service.post(task(url)).status_code == 200
    service.objects()[0].delete()

    assert service.post(task(url, known=known_by(ingest.outcomes[-1]))).status_code == 200

    first, again = ingest.outcomes
    assert (again["output_url"], again["reused"]) == (first["output_url"], False)
    assert len(service.objects()) == 1


def test_other_options_are_made_of_the_source(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """Nothing is stored for them, so the source is asked for."""
    url = origin.on("/a.jpg", with_etag(PICTURE))

    first, again = run_twice(service, ingest, url, options={"quality": 30, "format": "jpeg"})

    assert again["output_url"] != first["output_url"]
    assert again["reused"] is False


def test_a_304_that_nobody_asked_for_is_no_picture(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    url = origin.on("/a.jpg", answer(b"", status=304))

    assert service.post(task(url)).status_code == 200

    assert ingest.outcomes[0]["code"] == "HTTP_4XX"


def test_behind_a_redirect_an_etag_says_nothing(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """Tomorrow the redirect may lead to another picture with the same ETag; equal bytes still count."""
    origin.on("/there.jpg", with_etag(PICTURE))
    url = origin.on("/here.jpg", answer(b"", status=302, headers=[("Location", "/there.jpg")]))

    first, again = run_twice(service, ingest, url)

    assert first["etag"] is None
    assert (again["output_url"], again["reused"]) == (first["output_url"], True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ETag": '"a"', "Last-Modified": CHANGED, "Date": LATER}, Validators(etag='"a"')),
        ({"ETag": 'W/"a"'}, Validators(etag='W/"a"')),
        ({"ETag": "a"}, NO_VALIDATORS),
        ({"ETag": '""'}, NO_VALIDATORS),
        ({"ETag": f'"{"a" * 300}"'}, NO_VALIDATORS),
        ({"ETag": '"a\r"'}, NO_VALIDATORS),
        ({"Last-Modified": CHANGED, "Date": LATER}, Validators(last_modified=CHANGED)),
        ({"Last-Modified": CHANGED, "Date": CHANGED}, NO_VALIDATORS),
        ({"Last-Modified": CHANGED}, NO_VALIDATORS),
        ({"Last-Modified": "yesterday", "Date": LATER}, NO_VALIDATORS),
        ({}, NO_VALIDATORS),
    ],
)
def test_what_an_answer_says_of_its_picture(headers: dict[str, str], expected: Validators) -> None:
    """An ETag, or a time of which it is sure that the picture has not changed within its second."""
    assert validators_of(headers) == expected


def test_a_picture_is_asked_for_by_one_condition() -> None:
    assert Validators(etag='"a"').conditions() == {"If-None-Match": '"a"'}
    assert Validators(last_modified=CHANGED).conditions() == {"If-Modified-Since": CHANGED}
    assert NO_VALIDATORS.conditions() == {}
