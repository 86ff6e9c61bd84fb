"""The chunks of a WebP: what a decoder needs of it, and what a kept original may keep.

Source: https://developers.google.com/speed/webp/docs/riff_container.
"""

from __future__ import annotations

from compressor.images.exif import readable_block
from compressor.images.model import Note
from compressor.images.source import Source

_KEPT = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM"})
_OF_FRAME = frozenset({b"VP8 ", b"VP8L", b"ALPH"})
_READ = _KEPT | {b"VP8X", b"ANMF", b"ICCP"}
_FRAME_HEADER_BYTES = 16
_ANIMATED = 0x02
_XMP = 0x04
_EXIF = 0x08
_ALPHA = 0x10


def readable(data: bytes) -> Source:
    """Return what a decoder needs of a WebP: unknown chunks dropped, and a wrong length of the whole put right."""
    source = Source("WEBP", data)
    declared = int.from_bytes(data[4:8], "little") + 8
    found = chunks(data[12 : max(declared, 12)])
    if found is None and declared > len(data):
        return source  # cut off
    if found is None:
        found = chunks(data[12:])  # the length is too small, browsers go by the chunks
    if found is None:
        return source
    if declared > len(data):
        source.notes.append(Note.END_MISSING)  # but all chunks are whole
    parts = []
    for name, body in found:
        if name == b"EXIF" and not source.exif:
            source.exif = readable_block(body)
        elif name == b"VP8X" and len(body) >= 10:
            parts.append(chunk(name, bytes([body[0] & ~(_EXIF | _XMP)]) + body[1:]))
        elif name in _READ:
            parts.append(chunk(name, body))
    content = b"WEBP" + b"".join(parts)
    source.data = b"RIFF" + len(content).to_bytes(4, "little") + content
    return source


def stripped(data: bytes, exif: bytes, size: tuple[int, int]) -> bytes | None:
    """Return the same picture with this EXIF block and no other metadata; None when its chunks lead out of it."""
    whole = min(len(data), int.from_bytes(data[4:8], "little") + 8)
    found = chunks(data[12:whole])
    if found is None:
        return None
    kept: list[bytes] = []
    flags = 0
    for name, body in found:
        if name == b"VP8X":
            flags = body[0] & (_ALPHA | _ANIMATED)
            size = (int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
        elif name == b"ANMF":
            frame = chunks(body[_FRAME_HEADER_BYTES:])
            if frame is None:
                return None
            pixels = b"".join(chunk(*part) for part in frame if part[0] in _OF_FRAME)
            kept.append(chunk(name, body[:_FRAME_HEADER_BYTES] + pixels))
        elif name in _KEPT:
            if name == b"VP8L":
                flags |= _ALPHA * (body[4] >> 4 & 1)
            kept.append(chunk(name, body))
    if exif:
        kept.append(chunk(b"EXIF", exif))
        flags |= _EXIF
    if flags & ~_ALPHA or any(name == b"VP8X" for name, _ in found):
        width, height = (side - 1 for side in size)
        sides = width.to_bytes(3, "little") + height.to_bytes(3, "little")
        kept.insert(0, chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides))
    content = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def chunks(data: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return names and contents, or None when a length leads out of the data."""
    found = []
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            return None
        found.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk, filled up to an even length."""
    return name + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
