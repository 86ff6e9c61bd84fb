"""What is left of a source's EXIF: new blocks made of the few tags that are allowed. Pure.

An allow-list, because places hide in many tags (GPS, maker notes, thumbnails, XMP): only text, numbers and dates that
say who owns a picture or how it was taken. Orientation, sizes and profiles are never kept, as they no longer hold. XMP
and IPTC are always dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Set
from typing import Any

from PIL import Image

from compressor.images.model import Metadata

_COPYRIGHT = 0x8298
_ARTIST = 0x013B
_RIGHTS = frozenset({_ARTIST, _COPYRIGHT})
# Description, maker, model, software, date.
_KEPT = _RIGHTS | {0x010E, 0x010F, 0x0110, 0x0131, 0x0132}
_EXPOSURE_BLOCK = 0x8769
# Exposure, dates and zones, lens and scene (Exif 2.32, tables 7, 8). No serial numbers, owners, comments, maker notes.
_KEPT_OF_EXPOSURE = frozenset(
    {0x829A, 0x829D, 0x8822, 0x8827, 0x8830, 0x8832, 0x9003, 0x9004, *range(0x9010, 0x9013), *range(0x9201, 0x920B)}
    | {0x9290, 0x9291, 0x9292, *range(0xA401, 0xA409), 0xA40A, 0xA40C, 0xA432, 0xA433, 0xA434}
)
_MAX_TEXT = 1000
_MAX_BLOCK_BYTES = 16_000
_PNG_TEXTS = {"Copyright": _COPYRIGHT, "Author": _ARTIST}


def kept_exif(image: Image.Image, policy: Metadata) -> bytes:
    """Return the EXIF block to write, with its `Exif` header, or nothing.

    Raises:
        Exception: of any kind: the source's block is broken.
    """
    if policy is Metadata.STRIP:
        return b""
    source = image.getexif()
    kept = Image.Exif()
    _copy(source, kept, _RIGHTS if policy is Metadata.COPYRIGHT else _KEPT)
    for key, tag in _PNG_TEXTS.items():
        text = image.info.get(key)
        if isinstance(text, str) and tag not in kept:
            kept[tag] = text[:_MAX_TEXT]
    if policy is Metadata.KEEP:
        exposure: dict[int, Any] = {}
        _copy(source.get_ifd(_EXPOSURE_BLOCK), exposure, _KEPT_OF_EXPOSURE)
        if exposure:
            kept.get_ifd(_EXPOSURE_BLOCK).update(exposure)
    if not len(kept):
        return b""
    block = kept.tobytes()
    return block if len(block) <= _MAX_BLOCK_BYTES else b""


def _copy(source: Mapping[int, Any], kept: MutableMapping[int, Any], tags: Set[int]) -> None:
    for tag in tags & set(source):
        value = source[tag]
        if isinstance(value, str):
            value = value.strip("\0 ")[:_MAX_TEXT]
            if not value:
                continue
        elif isinstance(value, bytes) and len(value) > _MAX_TEXT:
            continue
        kept[tag] = value
