"""Animations: the first frame with a note, or all of them as an animated WebP within a budget."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image, ImageSequence, ImageStat

from compressor.images.codec import compress, output_format
from compressor.images.model import Animated, Note, Options, OutputFormat, Rendition
from compressor.images.picture import MAX_FRAMES
from support import pictures

KEPT = Options(quality=80, output=OutputFormat.WEBP, animated=Animated.KEEP)
COLOURS = [(220, 20, 20), (20, 220, 20), (20, 20, 220), (220, 220, 20)]


def animation(
    image_format: str,
    durations_ms: Sequence[int] = (40, 80, 120, 200),
    size: tuple[int, int] = (48, 32),
    **options: int,
) -> bytes:
    frames = [Image.new("RGB", size, COLOURS[at % 4]) for at in range(len(durations_ms))]
    if image_format == "AVIF":
        options.pop("loop", None)
    return pictures.encoded(
        frames[0], image_format, save_all=True, append_images=frames[1:], duration=list(durations_ms), **options
    )


def frames_of(rendition: Rendition) -> list[tuple[int, tuple[int, ...], tuple[int, int]]]:
    """Return each frame's duration in ms, mean colour and size."""
    found = []
    for frame in ImageSequence.Iterator(Image.open(io.BytesIO(rendition.data))):
        frame.load()
        mean = tuple(round(value) for value in ImageStat.Stat(frame.convert("RGB")).mean)
        found.append((frame.info["duration"], mean, frame.size))
    return found


@pytest.mark.feature("34")
@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("output", [OutputFormat.WEBP, OutputFormat.KEEP, OutputFormat.AUTO])
def test_an_animation_is_kept_with_its_frames_durations_and_colours(image_format: str, output: OutputFormat) -> None:
    """GIF, WebP, APNG and AVIF become WebP, or stay it."""
    source = animation(image_format, loop=0)
    options = Options(quality=80, output=output, animated=Animated.KEEP)
    rendition = compress(source, options)

    assert (rendition.format, Note.FIRST_FRAME in rendition.notes) == (OutputFormat.WEBP, False)
    assert [duration for duration, _, _ in frames_of(rendition)] == [40, 80, 120, 200]
    for (_, mean, _), colour in zip(frames_of(rendition), COLOURS, strict=True):
        assert max(abs(a - b) for a, b in zip(mean, colour, strict=True)) <= 12
    assert output_format(source, options) in {OutputFormat.WEBP, None}


def test_frames_are_shrunk_together() -> None:
    """max_width holds for all."""
    rendition = compress(animation("GIF"), Options(output=OutputFormat.WEBP, animated=Animated.KEEP, max_width=24))

    assert {size for _, _, size in frames_of(rendition)} == {(24, 16)}
    assert (rendition.width, rendition.height) == (24, 16)


def test_transparent_frames_stay_transparent() -> None:
    """A hole that moves through a GIF is where it was in every frame."""
    frames = [Image.new("RGBA", (32, 32), (*colour, 255)) for colour in COLOURS]
    for at, frame in enumerate(frames):
        frame.paste((0, 0, 0, 0), (8 * at, 0, 8 * at + 8, 32))
    source = pictures.encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50, disposal=2)
    result = Image.open(io.BytesIO(compress(source, KEPT).data))

    assert getattr(result, "n_frames", 1) == 4
    for at, frame in enumerate(ImageSequence.Iterator(result)):
        assert pictures.pixel_of(frame.convert("RGBA"), (8 * at + 4, 16))[3] == 0
        assert pictures.pixel_of(frame.convert("RGBA"), ((8 * at + 20) % 32, 16))[3] == 255


@pytest.mark.parametrize(("loop", "plays"), [(0, 0), (2, 3), (None, 1)])
def test_a_gif_is_shown_as_often_as_before(loop: int | None, plays: int) -> None:
    """A GIF counts repetitions, a WebP showings; 0 is forever, and a GIF that says nothing is shown once."""
    options: dict[str, Any] = {} if loop is None else {"loop": loop}
    source = animation("GIF", **options)

    assert Image.open(io.BytesIO(compress(source, KEPT).data)).info["loop"] == plays


def test_a_frame_without_a_duration_is_shown_as_browsers_show_it() -> None:
    """100 ms."""
    assert [duration for duration, _, _ in frames_of(compress(animation("GIF", (0, 50)), KEPT))] == [100, 50]


@pytest.mark.feature("34")
@pytest.mark.parametrize("output", [OutputFormat.JPEG, OutputFormat.PNG, OutputFormat.AVIF])
def test_formats_without_animation_get_the_first_frame(output: OutputFormat) -> None:
    """With the note, though `keep` was asked for."""
    rendition = compress(animation("GIF"), Options(output=output, animated=Animated.KEEP))

    assert (rendition.format, rendition.notes) == (output, (Note.FIRST_FRAME,))


@pytest.mark.feature("34")
@pytest.mark.parametrize(
    "source",
    [animation("WEBP", [20] * (MAX_FRAMES + 1), (8, 8)), animation("GIF", [20] * 30, (1400, 1200))],
    ids=["frames", "pixels"],
)
def test_an_animation_beyond_the_budget_loses_all_but_its_first_frame(source: bytes) -> None:
    """Said by two notes; the image is not lost."""
    rendition = compress(source, KEPT)

    assert set(rendition.notes) >= {Note.ANIMATION_TOO_LONG, Note.FIRST_FRAME}
    assert getattr(Image.open(io.BytesIO(rendition.data)), "n_frames", 1) == 1


def test_an_animation_that_cannot_be_made_smaller_is_kept_without_metadata() -> None:
    """All frames byte for byte, EXIF gone."""
    exif = Image.Exif()
    exif[0x010F] = "SecretMaker"
    frames = [pictures.photo(48, 32, seed=seed) for seed in range(3)]
    source = pictures.encoded(
        frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=40, quality=5, method=6, exif=exif
    )
    rendition = compress(source, Options(quality=95, output=OutputFormat.KEEP, animated=Animated.KEEP))

    assert rendition.notes == (Note.KEPT_ORIGINAL,)
    assert len(rendition.data) < len(source)
    assert b"Secret" not in rendition.data
    assert frames_of(rendition) == frames_of(Rendition(source, OutputFormat.WEBP, 48, 32))


def test_the_pages_of_a_tiff_are_no_animation() -> None:
    """The first page, with the note."""
    assert Note.FIRST_FRAME in compress(animation("TIFF"), KEPT).notes


@pytest.mark.fault("E12")
@pytest.mark.threat("T4")
@pytest.mark.timeout(20)
def test_the_frames_of_an_endless_animation_are_not_counted_without_need() -> None:
    """10,000 frames cost the first frame nothing."""
    source = pictures.animation("GIF", frames=3)
    frame = source[source.index(b"!\xf9") : -1]
    rendition = compress(source[:-1] + frame * 3400 + b";", Options())

    assert rendition.notes == (Note.FIRST_FRAME,)
