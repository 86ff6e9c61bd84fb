"""Metadata taken out of a picture without touching its pixels. Pure.

Used only on bytes that have already been decoded without error. The rule is an allow-list: what is not needed to draw
the picture is dropped, also whatever follows its end (a polyglot's second half).
"""

from __future__ import annotations

import re

_JPEG_KEPT_APPS = frozenset({0xE0, 0xEE})  # JFIF; Adobe's colour transform, without which colours are wrong
_JPEG_NEXT_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_PNG_SIGNATURE_BYTES = 8
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB"})
_WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH"})
_WEBP_ANIMATED = 0x02
_WEBP_ALPHA = 0x10


def stripped(image_format: str, data: bytes) -> bytes | None:
    """Return the same picture without metadata, or None when that cannot be done for this file.

    Args:
        image_format: Pillow's name; JPEG, PNG and WEBP are known.
        data: a whole picture.
    """
    try:
        match image_format:
            case "JPEG":
                return _stripped_jpeg(data)
            case "PNG":
                return _stripped_png(data)
            case "WEBP":
                return _stripped_webp(data)
            case _:
                return None
    except IndexError:
        # A length that leads out of the file: decoders forgive it, we do not rewrite it.
        return None


def _stripped_jpeg(data: bytes) -> bytes | None:
    kept = [b"\xff\xd8"]
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


def _stripped_png(data: bytes) -> bytes | None:
    kept = [data[:_PNG_SIGNATURE_BYTES]]
    at = _PNG_SIGNATURE_BYTES
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if end > len(data):
            return None
        if name in _PNG_KEPT:
            kept.append(data[at:end])
        if name == b"IEND":
            return b"".join(kept)
        at = end
    return None


def _stripped_webp(data: bytes) -> bytes | None:
    kept: list[bytes] = []
    at = 12
    whole = min(len(data), int.from_bytes(data[4:8], "little") + 8)
    while at + 8 <= whole:
        name = data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if at + 8 + size > whole:
            return None
        if name == b"VP8X":
            if data[at + 8] & _WEBP_ANIMATED:
                return None
            flags = data[at + 8] & _WEBP_ALPHA
            kept.append(data[at : at + 8] + bytes([flags]) + data[at + 9 : end])
        elif name in _WEBP_KEPT:
            kept.append(data[at:end])
        at = end
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
