"""The blocks of a GIF: what a decoder needs of it, and whether a frame without its last code is whole.

Comments, plain text and other programs' blocks are dropped before decoding: they draw nothing, and a decoder may take
time with their number squared. Source: https://www.w3.org/Graphics/GIF/spec-gif89a.txt.
"""

from __future__ import annotations

from compressor.images.model import Note
from compressor.images.source import Source

_HEADER_BYTES = 13
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _APPLICATION = 0xF9, 0xFF
_LOOPS = (b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0")
_MAX_CODES = 4_000_000  # counted in Python, a third of a second each million
_MAX_CODE_BITS = 12


def readable(data: bytes) -> Source:
    """Return what a decoder needs of a GIF."""
    at = _HEADER_BYTES + _table_bytes(data[10] if len(data) > 10 else 0)
    kept = [data[:at]]
    frames: list[tuple[int, int, int]] = []  # where the codes begin and end, and how many pixels they are for
    while at < len(data):
        start, kind = at, data[at]
        if kind == _IMAGE and at + 10 < len(data):
            width = int.from_bytes(data[at + 5 : at + 7], "little")
            height = int.from_bytes(data[at + 7 : at + 9], "little")
            codes = at + 10 + _table_bytes(data[at + 9])
            at = _after_blocks(data, codes + 1)
            frames.append((codes, at, width * height))
            kept.append(data[start:at])
        elif kind == _EXTENSION and at + 2 < len(data):
            at = _after_blocks(data, at + 2)
            if data[start + 1] == _CONTROL or (data[start + 1] == _APPLICATION and data.startswith(_LOOPS, start + 2)):
                kept.append(data[start:at])
        elif kind == 0:  # too many ends of blocks are common
            at += 1
        else:
            kept.append(b";" if kind == _TRAILER else data[start:])
            break
    source = Source("GIF", b"".join(kept))

    def without_last_codes() -> Source | None:
        # The first frame decides; further ones are looked at when an animation is kept.
        if not frames or not _codes_fill(data, *frames[0]):
            return None
        return Source("GIF", source.data, [Note.END_MISSING], forgives_end=True)

    source.second = without_last_codes
    return source


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    """Return the place behind a row of blocks and its end; the end of the data when that is missing."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return min(at + 1, len(data))


def _codes_fill(data: bytes, start: int, end: int, pixels: int) -> bool:
    """Return whether the codes of a frame stand for all of its pixels: counts the length of each, decodes none."""
    if start >= end or not 2 <= data[start] <= 8:
        return False
    packed = bytearray()
    at = start + 1
    while at < end and data[at]:
        packed += data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
    clear = 1 << data[start]
    first_bits = data[start] + 1
    lengths: list[int] = []
    bits, previous, filled, buffer, buffered = first_bits, 0, 0, 0, 0
    for byte in packed[: _MAX_CODES * 2]:
        buffer |= byte << buffered
        buffered += 8
        while buffered >= bits:
            code = buffer & ((1 << bits) - 1)
            buffer >>= bits
            buffered -= bits
            if code == clear:
                lengths, bits, previous = [], first_bits, 0
                continue
            if code == clear + 1:
                return filled >= pixels
            if code < clear:
                length = 1
            elif code - clear - 2 < len(lengths):
                length = lengths[code - clear - 2]
            else:
                length = previous + 1
            if previous and clear + 2 + len(lengths) < 1 << _MAX_CODE_BITS:
                lengths.append(previous + 1)
                if clear + 2 + len(lengths) == 1 << bits and bits < _MAX_CODE_BITS:
                    bits += 1
            previous = length
            filled += length
    return filled >= pixels
