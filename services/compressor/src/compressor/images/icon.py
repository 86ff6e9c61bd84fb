"""The pictures of a Windows icon (ICO) or cursor (CUR): the largest is taken.

Source: https://learn.microsoft.com/previous-versions/ms997538(v=msdn.10).
"""

from __future__ import annotations

from compressor.images import png
from compressor.images.model import CodecError, Note, OutcomeCode
from compressor.images.source import Source

_PNG = b"\x89PNG\r\n\x1a\n"
_ENTRY_BYTES = 16
_MAX_ENTRIES = 1000
_MAX_SIDE_PX = 256  # of one that is no PNG; the directory has a byte for it


def readable(data: bytes) -> Source:
    """Return the largest picture: as a PNG, or as an icon that holds no other.

    Raises:
        CodecError: IMAGE_TRUNCATED, or DECODE_ERROR, its directory and its pictures do not agree.
    """
    count = int.from_bytes(data[4:6], "little")
    starts = range(6, 6 + _ENTRY_BYTES * min(count, _MAX_ENTRIES), _ENTRY_BYTES)
    entries = [data[start : start + _ENTRY_BYTES] for start in starts]
    if not entries or len(entries[-1]) < _ENTRY_BYTES:
        raise CodecError(OutcomeCode.IMAGE_TRUNCATED, "the ICO file ends too early")
    largest = max(
        entries, key=lambda entry: ((entry[0] or 256) * (entry[1] or 256), int.from_bytes(entry[6:8], "little"))
    )
    size, at = int.from_bytes(largest[8:12], "little"), int.from_bytes(largest[12:16], "little")
    picture = data[at : at + size]
    if not picture or len(picture) < size:
        raise CodecError(OutcomeCode.IMAGE_TRUNCATED, "the ICO file ends too early")
    if picture.startswith(_PNG):
        source = png.readable(picture)
        source.may_be_kept = False
    else:
        width, height = (abs(int.from_bytes(picture[at : at + 4], "little", signed=True)) for at in (4, 8))
        if max(width, height // 2) > _MAX_SIDE_PX:
            raise CodecError(OutcomeCode.DECODE_ERROR, "the ICO file is damaged")
        head = b"\0\0\x01\0\x01\0" + largest[:12] + (6 + _ENTRY_BYTES).to_bytes(4, "little")
        if data[2] == 2:  # a cursor's entry has its hot spot where an icon's has planes and bits
            head = head[:10] + b"\x01\0" + picture[14:16] + head[14:]
        source = Source("ICO", head + picture)
    if count > 1:
        source.notes.append(Note.LARGEST_OF_SEVERAL)
    return source
