"""Damaged pictures of every kind: a rendition or a CodecError, whatever the bytes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compressor.images.codec import compress
from compressor.images.model import Animated, CodecError, Metadata, Options, OutputFormat, Rendition
from compressor.images.sniff import is_cut_off, sniff
from compressor.images.stripping import stripped
from support import pictures

PHOTO = pictures.photo(48, 32)
SOURCES = {
    **{name: pictures.encoded(PHOTO, name) for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")},
    "located": pictures.located_jpeg(PHOTO),
    "CMYK": pictures.cmyk_jpeg((10, 20, 30, 40)),
    "16 bit": pictures.sixteen_bit_png(32, 8),
    "APNG": pictures.animation("PNG"),
    "animated GIF": pictures.animation("GIF"),
    "animated WebP": pictures.animation("WEBP"),
}
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
OPTIONS = st.builds(
    Options,
    quality=st.integers(1, 95),
    output=st.sampled_from(OutputFormat),
    max_width=st.none() | st.integers(1, 60),
    target_bytes=st.none() | st.integers(500, 5000),
    metadata=st.sampled_from(Metadata),
    background=st.sampled_from(["#ffffff", "#102030"]),
    animated=st.sampled_from(Animated),
)
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 4)), min_size=1, max_size=4)


def damaged(data: bytes, damage: list[tuple[float, bytes, int]]) -> bytes:
    """Replace a few bytes here and there; early places, where the headers are, twice as often."""
    for place, bytes_in, bytes_out in damage:
        at = int(place * place * len(data))
        data = data[:at] + bytes_in + data[at + bytes_out :]
    return data


@pytest.mark.fault("E19")
@pytest.mark.threat("T3")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damage=DAMAGE, options=OPTIONS)
def test_no_damage_escapes_the_mapping_of_errors(
    name: str, damage: list[tuple[float, bytes, int]], options: Options
) -> None:
    """Only these two things can come out of the codec."""
    try:
        result: object = compress(damaged(SOURCES[name], damage), options)
    except CodecError as error:
        result = error

    assert isinstance(result, Rendition | CodecError)


@given(data=st.binary(max_size=200) | st.sampled_from(list(SOURCES.values())).map(lambda data: data[:40]))
def test_sniffing_and_stripping_are_total(data: bytes) -> None:
    """Any bytes are something, are cut off or not, and are stripped or refused, without an exception."""
    assert sniff(data) is not None
    for image_format in FORMATS:
        assert is_cut_off(image_format, data) in {True, False}
        assert isinstance(stripped(image_format, data), bytes | None)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_stripping_twice_changes_nothing(image_format: str) -> None:
    """What is left holds nothing more to strip."""
    once = stripped(image_format, pictures.encoded(PHOTO, image_format, exif=b"Exif\0\0" + bytes(40)))

    assert once is not None
    assert stripped(image_format, once) == once


def test_generated_pictures_are_repeatable() -> None:
    """Equal arguments, equal bytes: tests and demo see the same pictures everywhere."""
    assert pictures.photo_jpeg(64, 48, seed=7) == pictures.photo_jpeg(64, 48, seed=7)
    assert pictures.photo_jpeg(64, 48, seed=7) != pictures.photo_jpeg(64, 48, seed=8)
