"""A picture on its way through the codec, and what every format can hold. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from PIL import Image

from chassis.limited import Limited
from compressor.images.model import CodecError, Note, OutcomeCode, OutputFormat

MAX_PIXELS: Annotated[
    int,
    Limited(
        "pixels",
        "`TOO_MANY_PIXELS`; an animation loses all but its first frame",
        "Width times height of a source, times the frames of an animation that is kept",
    ),
] = 50_000_000
"""Width times height of a source, times the frames of an animation that is kept; imgproxy's default."""

MAX_SIDE_PX: Annotated[
    int, Limited("pixels", "`TOO_MANY_PIXELS`", "Longest side of a source", name="max_side_pixels")
] = 65_500
"""The longest side of a source: JPEG's own limit."""

MAX_FRAMES: Annotated[int, Limited("frames", "the first frame, with a note", "Frames of an animation that is kept")] = (
    60
)
"""The most frames of an animation that is kept."""

MAX_OUTPUT_SIDE_PX = {
    OutputFormat.JPEG: 65_500,
    OutputFormat.WEBP: 16_383,
    OutputFormat.AVIF: 65_500,
    OutputFormat.PNG: 65_500,
}
"""The longest side that can be written."""

MAX_AVIF_PIXELS: Annotated[
    int, Limited("pixels", "the picture is made smaller, with a note", "Width times height of an AVIF that is made")
] = 25_000_000
"""Its encoder takes three times the memory and ten times the processor time of the others."""

OWN_FORMATS = {
    "JPEG": OutputFormat.JPEG,
    "WEBP": OutputFormat.WEBP,
    "AVIF": OutputFormat.AVIF,
    "PNG": OutputFormat.PNG,
}
"""Pillow's names of the formats that are both read and written."""

KEPT_FORMATS = {
    "JPEG": OutputFormat.JPEG,
    "PNG": OutputFormat.PNG,
    "WEBP": OutputFormat.WEBP,
    "AVIF": OutputFormat.AVIF,
    "GIF": OutputFormat.PNG,
    "BMP": OutputFormat.PNG,
    "TIFF": OutputFormat.PNG,
    "ICO": OutputFormat.PNG,
    "PSD": OutputFormat.PNG,
    "HEIF": OutputFormat.JPEG,
}
"""What `keep` means for each format that is read, by Pillow's names."""

ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
"""Formats of animations; several pages of a TIFF are none."""


@dataclass(frozen=True, slots=True)
class Animation:
    """The frames of an animation after the first: the picture itself is that. One duration in ms for each frame.

    `plays` counts how often it is shown; 0 is forever.
    """

    further: tuple[Image.Image, ...]
    durations_ms: tuple[int, ...]
    plays: int


_DAMAGES = {Note.DAMAGED, Note.ANIMATION_DAMAGED}


@dataclass(slots=True)
class Picture:
    """A picture on its way through the pipeline.

    Args:
        image: its pixels.
        source_format: Pillow's name.
        output: the wanted format; `auto` is not decided before encoding, `keep` is.
        notes: what was done to it.
        intact: whether the source's own pixels would do as well.
        exif: the block to write, or nothing.
        animation: the other frames, if they are kept.
        own_bytes: how many the source has without what draws nothing.
    """

    image: Image.Image
    source_format: str
    output: OutputFormat
    notes: list[Note] = field(default_factory=list)
    intact: bool = True
    exif: bytes = b""
    animation: Animation | None = None
    own_bytes: int = 0

    def note(self, note: Note) -> None:
        """Add a note once; a source that turns out to be damaged does not do as it is."""
        if note not in self.notes:
            self.notes.append(note)
        self.intact = self.intact and note not in _DAMAGES


def refuse_source_size(width: int, height: int) -> None:
    """Check a source's size before it is decoded.

    Raises:
        CodecError: TOO_MANY_PIXELS.
    """
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        raise too_many_pixels(f"{width} x {height} px; ")


def too_many_pixels(size: str = "") -> CodecError:
    """Return the error that names the limits of sources."""
    limits = f"the limits are {MAX_PIXELS} pixels and {MAX_SIDE_PX} px a side"
    return CodecError(OutcomeCode.TOO_MANY_PIXELS, size + limits)


def can_hold(output: OutputFormat, size: tuple[int, int]) -> bool:
    """Return whether a format can hold a picture of that size."""
    if output is OutputFormat.AVIF and size[0] * size[1] > MAX_AVIF_PIXELS:
        return False
    return max(size) <= MAX_OUTPUT_SIDE_PX[output]


def refuse_output_size(output: OutputFormat, size: tuple[int, int]) -> None:
    """Check the size to write before anything is decoded; `auto` finds a format that can hold it.

    Raises:
        CodecError: TOO_MANY_PIXELS.
    """
    if output is OutputFormat.AUTO or can_hold(output, size):
        return
    limit = f"{MAX_OUTPUT_SIDE_PX[output]} px a side"
    if output is OutputFormat.AVIF:
        limit = f"{MAX_AVIF_PIXELS} pixels and {limit}"
    raise CodecError(
        OutcomeCode.TOO_MANY_PIXELS,
        f"{size[0]} x {size[1]} px; {output} is written up to {limit}: set max_width or max_height, or ask for jpeg",
    )
