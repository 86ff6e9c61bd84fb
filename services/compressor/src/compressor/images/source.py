"""A file as its decoder gets it: what draws the picture, and apart from that what else is needed of it. Pure data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from compressor.images.model import Note


@dataclass(slots=True)
class Source:
    """What is left of a file once everything that draws nothing is gone.

    Args:
        format: Pillow's name of it.
        data: what the decoder reads.
        notes: what was odd about the file.
        exif: the EXIF block, a TIFF file without its `Exif` header; or nothing.
        rights: author and rights that stand elsewhere, by their EXIF tags.
        profile: the ICC profile, if it is not the decoder that finds it.
        transparent: the one transparent colour, a value for each channel in `depth` bits; or None.
        depth: bits of a channel, where `transparent` is set.
        planes_mode: the mode of a picture whose channels are decoded one by one; or nothing.
        further_planes: what the decoder reads for the second channel and those after it.
        pixels_end: where in `data` the last pixel is coded, so that a decoder which stops before it has met damage.
        forgives_end: whether the decoder may miss the end of the data.
        may_be_kept: whether the file's own bytes are this picture, so that they may be kept as they are.
        second: what to decode when the decoder refuses `data`; None when there is nothing else to try.
    """

    format: str
    data: bytes
    notes: list[Note] = field(default_factory=list)
    exif: bytes = b""
    rights: dict[int, bytes] = field(default_factory=dict)
    profile: bytes | None = None
    transparent: tuple[int, ...] | None = None
    depth: int = 8
    planes_mode: str = ""
    further_planes: list[bytes] = field(default_factory=list)
    pixels_end: int = 0
    forgives_end: bool = False
    may_be_kept: bool = True
    second: Callable[[], Source | None] | None = None
