"""HEIC: read with the optional package, refused with a hint without it. pillow-heif writes the pictures."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageChops, ImageStat

from chassis.clock import SystemClock
from compressor.images.codec import compress
from compressor.images.model import CodecError, Options, OutcomeCode, OutputFormat
from compressor.sandbox.pool import CodecPool, Limits
from support import pictures

WITHOUT_PACKAGE = (
    "import sys; sys.modules['pi_heif'] = None; "
    "import importlib.util as util; found = util.find_spec; "
    "util.find_spec = lambda name, package=None: None if name == 'pi_heif' else found(name, package); "
    "from compressor.sandbox.child import main; main(sys.argv[1:])"
)


def heic(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=95, **options)
    return buffer.getvalue()


PHOTO = pictures.photo(160, 96)


@pytest.fixture
def codec_without_package() -> Iterator[CodecPool]:
    pool = CodecPool(
        concurrency=1,
        wait_s=10,
        limits=Limits(1 << 30, 20, 60),
        clock=SystemClock(),
        command=(sys.executable, "-I", "-B", "-c", WITHOUT_PACKAGE),
    )
    yield pool
    pool.close()


@pytest.mark.feature("35")
@pytest.mark.parametrize("output", [*OutputFormat])
def test_heic_becomes_every_output_format(output: OutputFormat) -> None:
    """Kept means JPEG: browsers do not show HEIC. Mean difference below 9 of 255."""
    rendition = compress(heic(PHOTO), Options(quality=90, output=output))
    difference = ImageChops.difference(Image.open(io.BytesIO(rendition.data)).convert("RGB"), PHOTO)

    assert rendition.format is {OutputFormat.KEEP: OutputFormat.JPEG}.get(output, rendition.format)
    assert max(ImageStat.Stat(difference).mean) < 9


def test_a_turned_heic_comes_out_upright_once() -> None:
    """Its decoder turns it; EXIF must not turn it again."""
    exif = Image.Exif()
    exif[pictures.ORIENTATION_TAG] = 6
    stored = PHOTO.transpose(Image.Transpose.ROTATE_90)
    buffer = io.BytesIO()
    picture = pillow_heif.from_pillow(stored)
    picture.info["exif"] = exif.tobytes()
    picture.save(buffer, quality=95)
    rendition = compress(buffer.getvalue(), Options(quality=90))

    assert (rendition.width, rendition.height) == (160, 96)


@pytest.mark.fault("E4")
@pytest.mark.parametrize("percent", [20, 60, 95])
def test_a_truncated_heic_says_so(percent: int) -> None:
    """Never half a picture."""
    data = heic(PHOTO)
    with pytest.raises(CodecError) as caught:
        compress(data[: len(data) * percent // 100], Options())

    assert caught.value.code is OutcomeCode.IMAGE_TRUNCATED


def test_too_many_pixels_are_refused_before_decoding() -> None:
    """By the header, which claims a hundred times what is there."""
    data = heic(Image.new("RGB", (64, 64)))
    at = data.index(b"ispe") + 8
    huge = data[:at] + (60_000).to_bytes(4, "big") * 2 + data[at + 8 :]
    with pytest.raises(CodecError) as caught:
        compress(huge, Options())

    assert caught.value.code is OutcomeCode.TOO_MANY_PIXELS


@pytest.mark.feature("35")
def test_without_the_package_heic_is_unsupported_with_a_hint(codec_without_package: CodecPool) -> None:
    """It names the format and what the customer can do."""
    with pytest.raises(CodecError) as caught:
        codec_without_package.compress(heic(PHOTO), Options())

    assert caught.value.code is OutcomeCode.UNSUPPORTED_FORMAT
    for words in ("HEIC", "set up without it", "as JPEG"):
        assert words in caught.value.detail
    assert codec_without_package.compress(pictures.photo_jpeg(64, 48), Options()).width == 64
