"""Metadata taken out of a picture without touching its pixels. Pure.

Used only on bytes that have already been decoded without error. The rule is an allow-list: what is not needed to draw
the picture is dropped, also whatever follows its end (a polyglot's second half).
"""

from __future__ import annotations

import re
import zlib

_JPEG_KEPT_APPS = frozenset({0xE0, 0xEE})  # JFIF; Adobe's colour transform, without which colours are wrong
_JPEG_NEXT_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_PNG_SIGNATURE_BYTES = 8
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB"})
_WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM"})
_WEBP_OF_FRAME = frozenset({b"VP8 ", b"VP8L", b"ALPH"})
_WEBP_FRAME_HEADER_BYTES = 16
_WEBP_ANIMATED = 0x02
_WEBP_EXIF = 0x08
_WEBP_ALPHA = 0x10
_EXIF_HEADER = b"Exif\0\0"


def stripped(image_format: str, data: bytes, *, exif: bytes = b"", size: tuple[int, int] = (0, 0)) -> bytes | None:
    """Return the same picture without metadata, or None when that cannot be done for this file.

    Args:
        image_format: Pillow's name; JPEG, PNG and WEBP are known.
        data: a whole picture.
        exif: a block to have instead, with its `Exif` header; or nothing.
        size: in px, to be given with `exif`: a WebP may not say it elsewhere in a form that is easily read.
    """
    try:
        match image_format:
            case "JPEG":
                return _stripped_jpeg(data, exif)
            case "PNG":
                return _stripped_png(data, exif.removeprefix(_EXIF_HEADER))
            case "WEBP":
                return _stripped_webp(data, exif.removeprefix(_EXIF_HEADER), size)
            case _:
                return None
    except IndexError:
        # A length that leads out of the file: decoders forgive it, we do not rewrite it.
        return None


def _stripped_jpeg(data: bytes, exif: bytes) -> bytes | None:
    app1 = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif if exif else b""
    kept = [b"\xff\xd8", app1]
    at = 2
    while True:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xD9:
            kept.append(b"\xff\xd9")
            return b"".join(kept)
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4:
            return None
        if marker == 0xDA:
            following = _JPEG_NEXT_MARKER.search(data, end)
            if following is None:
                return None
            end = following.start()
        is_metadata = marker == 0xFE or (0xE0 <= marker <= 0xEF and marker not in _JPEG_KEPT_APPS)
        if not is_metadata:
            kept.append(data[at:end])
        at = end


def _stripped_png(data: bytes, exif: bytes) -> bytes | None:
    kept = [data[:_PNG_SIGNATURE_BYTES]]
    at = _PNG_SIGNATURE_BYTES
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if end > len(data):
            return None
        if name in _PNG_KEPT:
            kept.append(data[at:end])
        if name == b"IHDR" and exif:
            body = b"eXIf" + exif
            kept.append(len(exif).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big"))
        if name == b"IEND":
            return b"".join(kept)
        at = end
    return None


def _stripped_webp(data: bytes, exif: bytes, size: tuple[int, int]) -> bytes | None:
    whole = min(len(data), int.from_bytes(data[4:8], "little") + 8)
    chunks = _webp_chunks(data[12:whole])
    if chunks is None:
        return None
    kept: list[bytes] = []
    flags = 0
    for name, body in chunks:
        if name == b"VP8X":
            flags = body[0] & (_WEBP_ALPHA | _WEBP_ANIMATED)
            size = (int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
        elif name == b"ANMF":
            frame = _webp_chunks(body[_WEBP_FRAME_HEADER_BYTES:])
            if frame is None:
                return None
            pixels = b"".join(_webp_chunk(*chunk) for chunk in frame if chunk[0] in _WEBP_OF_FRAME)
            kept.append(_webp_chunk(name, body[:_WEBP_FRAME_HEADER_BYTES] + pixels))
        elif name in _WEBP_KEPT:
            if name == b"VP8L":
                flags |= _WEBP_ALPHA * (body[4] >> 4 & 1)
            kept.append(_webp_chunk(name, body))
    if exif:
        kept.append(_webp_chunk(b"EXIF", exif))
        flags |= _WEBP_EXIF
    if flags & ~_WEBP_ALPHA or any(name == b"VP8X" for name, _ in chunks):
        width, height = (side - 1 for side in size)
        sides = width.to_bytes(3, "little") + height.to_bytes(3, "little")
        kept.insert(0, _webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides))
    content = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def _webp_chunks(data: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return names and bodies, or None when a length leads out of the data."""
    chunks = []
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            return None
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return chunks


def _webp_chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
