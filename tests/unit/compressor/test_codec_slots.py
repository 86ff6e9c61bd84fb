"""The bound on pictures decoded at once, and what happens when the machine, not the picture, is at fault."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from PIL import Image

import images
from chassis.errors import ApiError
from compressor.model import Options
from compressor.service import Codec
from compressor_rig import RecordingIngest, Service, contract, task
from scripted_origin import ScriptedOrigin, answer


def test_a_codec_that_stays_busy_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second picture waits for the first, and gives up in time; afterwards the codec works again."""
    begun, release = threading.Event(), threading.Event()
    source = images.photo_jpeg(64, 48)
    load = Image.open

    def held(*args: Any, **options: Any) -> Any:
        begun.set()
        release.wait(10)
        return load(*args, **options)

    monkeypatch.setattr(Image, "open", held)
    codec = Codec(concurrency=1, wait_s=0.05)
    first = threading.Thread(target=codec.compress, args=(source, Options()))
    first.start()
    begun.wait(10)
    with pytest.raises(ApiError) as caught:
        codec.compress(source, Options())
    release.set()
    first.join(10)

    assert (caught.value.http_code, caught.value.reason) == (503, "CODEC_BUSY")
    assert codec.compress(source, Options()).width == 64


def test_a_failed_picture_frees_the_codec() -> None:
    """Errors do not use the slots up."""
    codec = Codec(concurrency=1, wait_s=0.05)
    for _ in range(3):
        with pytest.raises(Exception, match="NOT_AN_IMAGE"):
            codec.compress(b"no picture", Options())

    assert codec.compress(images.photo_jpeg(64, 48), Options()).width == 64


def test_short_memory_brings_the_task_again_and_blames_no_image(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MemoryError is 503 with Retry-After; ingest hears nothing."""

    def exhausted(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", exhausted)
    response = service.post(task(origin.on("/a.jpg", answer(images.photo_jpeg(64, 48)))))

    assert response.status_code == 503
    contract("error").validate(response.json)
    assert response.json["error"]["details"][0]["reason"] == "OUT_OF_MEMORY"
    assert ingest.outcomes == []
