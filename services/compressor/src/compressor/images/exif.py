"""What is left of a source's EXIF: new blocks made of the few tags that are allowed. Pure.

An allow-list, because places hide in many tags (GPS, maker notes, thumbnails, XMP, also descriptions): only text,
numbers and dates that say who owns a picture or how it was taken, each with the bytes that it had. Orientation, sizes
and profiles are never kept, as they no longer hold. XMP and IPTC are always dropped, and turn no picture: browsers look
at EXIF only.
"""

from __future__ import annotations

from collections.abc import Set

from compressor.images.ifd import ASCII_TYPE, Directory, Entry, Order, block, first_directory
from compressor.images.model import Metadata

COPYRIGHT = 0x8298
ARTIST = 0x013B
_ORIENTATION = 0x0112
_RIGHTS = frozenset({ARTIST, COPYRIGHT})
# Maker, model, software, date.
_KEPT = _RIGHTS | {0x010F, 0x0110, 0x0131, 0x0132}
_EXPOSURE_BLOCK = 0x8769
# Exposure, dates and zones, lens and scene (Exif 2.32, tables 7, 8). No serial numbers, owners, comments, maker notes.
_KEPT_OF_EXPOSURE = frozenset(
    {0x829A, 0x829D, 0x8822, 0x8827, 0x8830, 0x8832, 0x9003, 0x9004, *range(0x9010, 0x9013), *range(0x9201, 0x920B)}
    | {0x9290, 0x9291, 0x9292, *range(0xA401, 0xA409), 0xA40A, 0xA40C, 0xA432, 0xA433, 0xA434}
)
_MAX_VALUE_BYTES = 1000
_MAX_BLOCK_BYTES = 16_000
_HEADER = b"Exif\0\0"


def orientation(exif: bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 when none is said.

    Raises:
        BrokenDirectoryError: the block cannot be read.
    """
    if not exif:
        return 1
    said = first_directory(exif).number(_ORIENTATION, 1)
    return said if 1 <= said <= 8 else 1


def kept_exif(exif: bytes, policy: Metadata, rights: dict[int, bytes]) -> bytes:
    """Return the EXIF block to write, with its `Exif` header; or nothing.

    Args:
        exif: the source's block, or a whole TIFF file.
        policy: what is kept.
        rights: author and rights that stand outside of it, by tag.

    Raises:
        BrokenDirectoryError: the block cannot be read.
    """
    if policy is Metadata.STRIP:
        return b""
    entries: dict[int, Entry] = {}
    children: dict[int, dict[int, Entry]] = {}
    order: Order = "little"
    if exif:
        directory = first_directory(exif)
        order = directory.order
        entries = _entries(directory, _RIGHTS if policy is Metadata.COPYRIGHT else _KEPT)
        exposure = directory.child(_EXPOSURE_BLOCK) if policy is Metadata.KEEP else None
        if exposure is not None and (kept := _entries(exposure, _KEPT_OF_EXPOSURE)):
            children[_EXPOSURE_BLOCK] = kept
    for tag, text in rights.items():
        entries.setdefault(tag, _text_entry(text))
    if not entries and not children:
        return b""
    written = _HEADER + block(order, entries, children)
    return written if len(written) <= _MAX_BLOCK_BYTES else b""


def readable_block(data: bytes) -> bytes:
    """Return an EXIF block without the header that some formats put before it."""
    return data.removeprefix(_HEADER)


def _entries(directory: Directory, tags: Set[int]) -> dict[int, Entry]:
    entries = {}
    for tag in sorted(tags):
        text = directory.text(tag, _MAX_VALUE_BYTES + 1)
        if text is not None:
            text = text.strip(b"\0 ")
            if text:
                entries[tag] = _text_entry(text)
        elif tag not in _RIGHTS and (entry := directory.entry(tag, _MAX_VALUE_BYTES)) is not None:
            entries[tag] = entry
    return entries


def _text_entry(text: bytes) -> Entry:
    if len(text) > _MAX_VALUE_BYTES:
        text = text[:_MAX_VALUE_BYTES]
        try:
            text.decode()
        except UnicodeDecodeError as error:
            if error.start >= len(text) - 3:  # cut within a letter
                text = text[: error.start]
    return Entry(ASCII_TYPE, len(text) + 1, text + b"\0")
