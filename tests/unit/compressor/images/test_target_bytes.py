"""`target_bytes`: the highest quality that fits, or the smallest that was reached, and both said."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from compressor.images.codec import compress
from compressor.images.model import Animated, Note, Options, OutputFormat
from support import pictures

PHOTO = pictures.photo_jpeg(640, 480)
LOSSY = [OutputFormat.JPEG, OutputFormat.WEBP, OutputFormat.AVIF]


@pytest.mark.feature("40")
@pytest.mark.parametrize("output", [*LOSSY, OutputFormat.AUTO])
@pytest.mark.parametrize("share", [0.8, 0.5])
def test_a_target_is_met_at_nearly_the_highest_quality_that_meets_it(output: OutputFormat, share: float) -> None:
    """Below the target, and not needlessly: three steps of quality more would be above it."""
    plain = compress(PHOTO, Options(quality=90, output=output))
    target = int(len(plain.data) * share)
    rendition = compress(PHOTO, Options(quality=90, output=output, target_bytes=target))

    assert len(rendition.data) <= target
    assert rendition.notes == (Note.QUALITY_REDUCED,)
    assert rendition.quality is not None
    assert rendition.detail == f"QUALITY_REDUCED, quality={rendition.quality}"
    better = compress(PHOTO, Options(quality=rendition.quality + 3, output=rendition.format))
    assert len(better.data) > target


def test_a_target_that_is_met_anyway_changes_nothing() -> None:
    """Quality is never raised to fill it."""
    assert compress(PHOTO, Options(target_bytes=5_000_000)) == compress(PHOTO, Options())


@pytest.mark.feature("40")
@pytest.mark.parametrize("output", LOSSY)
def test_a_target_out_of_reach_gives_the_smallest_that_was_reached(output: OutputFormat) -> None:
    """Said by a note, with the quality."""
    rendition = compress(PHOTO, Options(quality=80, output=output, target_bytes=500))

    assert rendition.notes == (Note.QUALITY_REDUCED, Note.TARGET_MISSED)
    assert len(rendition.data) <= len(compress(PHOTO, Options(quality=10, output=output)).data)
    assert rendition.detail.endswith(f"quality={rendition.quality}")


def test_a_target_for_png_can_only_be_missed() -> None:
    """It is lossless."""
    rendition = compress(PHOTO, Options(output=OutputFormat.PNG, target_bytes=5000))

    assert rendition.notes == (Note.LARGER_THAN_SOURCE, Note.TARGET_MISSED)


def test_a_small_original_meets_the_target_as_it_is() -> None:
    """Kept rather than encoded at a lower quality than need be."""
    source = pictures.photo_jpeg(320, 240, quality=20)
    rendition = compress(source, Options(quality=95, target_bytes=len(source) + 100))

    assert rendition.notes == (Note.KEPT_ORIGINAL,)
    assert rendition.quality is None


def test_a_kept_animation_meets_its_target() -> None:
    """All frames at one quality."""
    frames = [pictures.photo(96, 64, seed=seed) for seed in range(3)]
    source = pictures.encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=40, quality=95)
    options = Options(quality=90, output=OutputFormat.WEBP, animated=Animated.KEEP, target_bytes=len(source) // 3)
    rendition = compress(source, options)

    assert len(rendition.data) <= len(source) // 3
    assert getattr(Image.open(io.BytesIO(rendition.data)), "n_frames", 1) == 3
