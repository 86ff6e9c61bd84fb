"""What is left of a picture's metadata: by policy, but never a place."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from compressor.images.codec import compress
from compressor.images.model import Metadata, Note, Options, OutputFormat, Rendition
from compressor.images.stripping import stripped
from support import pictures

COPYRIGHT, ARTIST, MAKER = 0x8298, 0x013B, 0x010F
EXPOSURE_BLOCK, GPS_BLOCK, TAKEN, EXPOSURE_TIME, MAKER_NOTE, SERIAL = 0x8769, 0x8825, 0x9003, 0x829A, 0x927C, 0xA431
ENCODERS = [OutputFormat.JPEG, OutputFormat.WEBP, OutputFormat.PNG, OutputFormat.AVIF]
PLACE = b"SecretPlace"


def talkative(image_format: str, image: Image.Image | None = None, **options: Any) -> bytes:
    """Return a picture with rights, camera, places in GPS, maker note and XMP, and an orientation that turns it."""
    exif = Image.Exif()
    exif[COPYRIGHT] = "(c) Somebody 2026"
    exif[ARTIST] = "Somebody"
    exif[MAKER] = "SomeMaker"
    exif[pictures.ORIENTATION_TAG] = 1
    exif.get_ifd(EXPOSURE_BLOCK).update(
        {TAKEN: "2026:01:02 03:04:05", EXPOSURE_TIME: 0.01, MAKER_NOTE: PLACE, SERIAL: "SecretSerial"}
    )
    exif.get_ifd(GPS_BLOCK).update({1: "N", 2: (52.0, 30.0, 59.0), 0x1B: PLACE})
    if image_format in {"JPEG", "WEBP", "AVIF", "PNG"}:
        options["xmp"] = b"<x:xmpmeta><exif:GPSLatitude>SecretPlace</exif:GPSLatitude></x:xmpmeta>"
    return pictures.encoded(image or pictures.photo(96, 64), image_format, exif=exif, **options)


def exif_of(rendition: Rendition) -> tuple[dict[int, Any], dict[int, Any]]:
    image = Image.open(io.BytesIO(rendition.data))
    image.load()
    exif = image.getexif()
    main = {tag: value for tag, value in exif.items() if tag not in {EXPOSURE_BLOCK, GPS_BLOCK}}
    assert not exif.get_ifd(GPS_BLOCK)
    return main, dict(exif.get_ifd(EXPOSURE_BLOCK))


@pytest.mark.feature("37")
@pytest.mark.threat("T18")
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("output", ENCODERS)
def test_rights_are_kept_and_nothing_else(image_format: str, output: OutputFormat) -> None:
    """The default, from every format with EXIF to every format."""
    rendition = compress(talkative(image_format), Options(output=output))

    assert exif_of(rendition) == ({COPYRIGHT: "(c) Somebody 2026", ARTIST: "Somebody"}, {})
    assert b"Secret" not in rendition.data


@pytest.mark.feature("37")
@pytest.mark.parametrize("output", ENCODERS)
def test_strip_leaves_nothing(output: OutputFormat) -> None:
    """No EXIF at all."""
    rendition = compress(talkative("JPEG"), Options(output=output, metadata=Metadata.STRIP))

    assert exif_of(rendition) == ({}, {})
    assert b"Somebody" not in rendition.data


@pytest.mark.feature("37")
@pytest.mark.fault("E14")
@pytest.mark.threat("T18")
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("output", ENCODERS)
def test_keep_keeps_camera_and_exposure_but_no_place_and_no_serial_number(
    image_format: str, output: OutputFormat
) -> None:
    """An allow-list: maker notes, GPS, XMP and serial numbers are not on it."""
    main, exposure = exif_of(
        rendition := compress(talkative(image_format), Options(output=output, metadata=Metadata.KEEP))
    )

    assert (main[COPYRIGHT], main[MAKER]) == ("(c) Somebody 2026", "SomeMaker")
    assert (exposure[TAKEN], float(exposure[EXPOSURE_TIME])) == ("2026:01:02 03:04:05", 0.01)
    assert pictures.ORIENTATION_TAG not in main
    assert b"Secret" not in rendition.data


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("policy", Metadata)
def test_the_policy_holds_for_kept_originals_too(image_format: str, policy: Metadata) -> None:
    """Pixels equal, not bigger, rights as asked for, no place."""
    options = {"quality": 10, "method": 6} if image_format == "WEBP" else {"quality": 10}
    image = pictures.photo(96, 64).quantize(16).convert("RGB")
    source = talkative(image_format, image, **(options if image_format != "PNG" else {"optimize": True}))
    rendition = compress(source, Options(quality=95, output=OutputFormat.KEEP, metadata=policy))

    assert set(rendition.notes) <= {Note.KEPT_ORIGINAL}  # Pillow writes a PNG no larger again
    assert rendition.notes or image_format == "PNG"
    assert len(rendition.data) < len(source)
    assert Image.open(io.BytesIO(rendition.data)).tobytes() == Image.open(io.BytesIO(source)).tobytes()
    assert exif_of(rendition)[0].get(COPYRIGHT) == (None if policy is Metadata.STRIP else "(c) Somebody 2026")
    assert b"Secret" not in rendition.data


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_rights_are_added_to_a_plain_webp_without_harm(mode: str, lossless: bool) -> None:
    """A simple file becomes an extended one of the same pixels, alpha included."""
    image = pictures.alpha_ramp(32, 8).convert(mode)
    source = pictures.encoded(image, "WEBP", lossless=lossless, exact=True)
    exif = Image.Exif()
    exif[COPYRIGHT] = "x"
    data = stripped("WEBP", source, exif=exif.tobytes(), size=image.size)
    assert data is not None
    result = Image.open(io.BytesIO(data))

    assert (result.mode, result.tobytes()) == (mode, Image.open(io.BytesIO(source)).tobytes())
    assert result.getexif()[COPYRIGHT] == "x"


def test_a_pngs_texts_count_as_rights() -> None:
    """Copyright and Author of its text chunks; other texts are dropped."""
    texts = PngImagePlugin.PngInfo()
    for key, value in (("Copyright", "(c) Somebody"), ("Author", "Somebody"), ("Comment", "SecretPlace")):
        texts.add_text(key, value)
    rendition = compress(
        pictures.encoded(pictures.quadrants(), "PNG", pnginfo=texts), Options(output=OutputFormat.WEBP)
    )

    assert exif_of(rendition)[0] == {COPYRIGHT: "(c) Somebody", ARTIST: "Somebody"}
    assert PLACE not in rendition.data


def test_endless_rights_are_cut() -> None:
    """A thousand characters of each; the rest is no claim but ballast."""
    exif = Image.Exif()
    exif[COPYRIGHT] = "x" * 30_000
    rendition = compress(pictures.encoded(pictures.photo(96, 64), "JPEG", exif=exif), Options())

    assert exif_of(rendition)[0] == {COPYRIGHT: "x" * 1000}


def test_a_picture_without_rights_gets_no_exif() -> None:
    """Not even an empty block."""
    assert b"Exif" not in compress(pictures.photo_jpeg(64, 48), Options(metadata=Metadata.KEEP)).data
