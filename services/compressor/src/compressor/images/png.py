"""The chunks of a PNG: what a decoder needs of it, and what a kept original may keep.

Chunks that draw nothing are dropped before decoding, and those that draw are dropped when they are odd (a wrong
checksum, length or place), as browsers do; only what holds the pixels must be right. Text and profiles are inflated
within limits. Time is linear in the bytes. Source: https://www.w3.org/TR/png-3/, chapters 5 and 11.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from compressor.images.exif import ARTIST, COPYRIGHT, readable_block
from compressor.images.model import CodecError, Note, OutcomeCode
from compressor.images.profiles import profile_from_cicp, profile_from_gamma
from compressor.images.source import Source

_SIGNATURE_BYTES = 8
_MAX_PROFILE_BYTES = 4 * 1024 * 1024
_MAX_TEXT_BYTES = 1000
_TEXTS = {b"Copyright": COPYRIGHT, b"Author": ARTIST}
_CHANNELS = {0: 1, 2: 3}  # of the colour types that may have one transparent colour
_PALETTE = 3
_KEPT = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"acTL", b"fcTL", b"fdAT"}
)
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_END = b"\0\0\0\0IEND\xaeB`\x82"
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
_SRGB_GAMMA = 0.45455
_EQUAL_GAMMA = 0.05  # of each other: as libpng has it, no difference that shows


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk: its name, its content, and the whole of it; `is_right` says whether its checksum holds."""

    name: bytes
    body: bytes
    start: int
    end: int
    checksum: bytes

    @property
    def is_right(self) -> bool:
        """Return whether the checksum is that of name and content."""
        return zlib.crc32(self.name + self.body).to_bytes(4, "big") == self.checksum


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to IEND or to the end; the last one may be cut off, in its content or its checksum."""
    at = _SIGNATURE_BYTES
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        end = at + 12 + size
        yield Chunk(name, body, at, min(end, len(data)), data[at + 8 + size : end])
        if name == b"IEND":
            return
        at = end


def _chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")


def readable(data: bytes) -> Source:
    """Return what a decoder needs of a PNG.

    Raises:
        CodecError: UNSUPPORTED_FORMAT, it is Apple's own kind.
        ValueError: it is cut off before its pixels, or damaged.
    """
    source = Source("PNG", b"")
    kept = [data[:_SIGNATURE_BYTES]]
    colours: dict[bytes, bytes] = {}
    header, animation_is_right, has_pixels, has_end = b"", True, False, False
    animation = _Sequence()
    for chunk in chunks(data):
        match chunk.name:
            case b"IHDR":
                header = chunk.body
                kept.append(data[chunk.start : chunk.end])
            case b"CgBI":
                hint = "save it as an ordinary PNG"
                raise CodecError(
                    OutcomeCode.UNSUPPORTED_FORMAT, f"PNG of an iPhone app (CgBI) is not supported: {hint}"
                )
            case b"PLTE":
                kept.append(data[chunk.start : chunk.end])
            case b"IDAT":
                has_pixels = True
                # A cut off checksum is no pixel; a wrong one may be.
                whole = len(chunk.checksum) == 4
                kept.append(data[chunk.start : chunk.end] if whole else _chunk(chunk.name, chunk.body))
            case b"IEND":
                has_end = True
            case name if name in _ANIMATION:
                animation.has_begun = True
                animation_is_right = animation_is_right and chunk.is_right and animation.takes(chunk, header)
                kept.append(data[chunk.start : chunk.end])
            case b"tRNS" if chunk.is_right and not has_pixels:
                kept += _transparency(chunk, header, source)
            case name if not chunk.is_right or (has_pixels and name != b"eXIf" and name not in _TEXT_READERS):
                continue
            case b"eXIf":
                source.exif = readable_block(chunk.body)
            case name if name in _LENGTHS or name == b"iCCP":
                colours.setdefault(name, chunk.body)
            case name if name in _TEXT_READERS:
                _read_text(chunk, source)
    if not has_pixels:
        raise ValueError("no pixels")
    if animation.has_begun and not (animation_is_right and animation.is_complete):
        source.notes.append(Note.ANIMATION_DAMAGED)
        kept = [part for part in kept if part[4:8] not in _ANIMATION]
    if not has_end:
        source.notes.append(Note.END_MISSING)
    source.data = b"".join([*kept, _END])
    source.profile = _profile(colours, header, source)
    return source


class _Sequence:
    """The animation chunks in their order: numbers without a gap, frames within the canvas, as many as announced."""

    def __init__(self) -> None:
        self.has_begun = False
        self._announced = 0
        self._frames = 0
        self._next = 0

    @property
    def is_complete(self) -> bool:
        """Return whether there are as many frames as were announced."""
        return self._frames == self._announced > 0

    def takes(self, chunk: Chunk, header: bytes) -> bool:
        """Return whether a chunk may come next."""
        if chunk.name == b"acTL":
            is_first, self._announced = self._announced == 0, int.from_bytes(chunk.body[:4], "big")
            return is_first and len(chunk.body) == 8
        is_next = int.from_bytes(chunk.body[:4], "big") == self._next and len(chunk.body) >= 4
        self._next += 1
        if chunk.name == b"fdAT":
            return is_next
        self._frames += 1
        width, height, x, y = (int.from_bytes(chunk.body[at : at + 4], "big") for at in range(4, 20, 4))
        canvas = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
        return is_next and len(chunk.body) == 26 and 0 < width <= canvas[0] - x and 0 < height <= canvas[1] - y


def _transparency(chunk: Chunk, header: bytes, source: Source) -> list[bytes]:
    """Keep what is said of transparency: a palette's goes to the decoder, one colour's is ours to apply."""
    depth, colour_type = header[8], header[9]
    if colour_type == _PALETTE:
        return [_chunk(chunk.name, chunk.body[: 1 << depth])]
    channels = _CHANNELS.get(colour_type, 0)
    if channels and len(chunk.body) == 2 * channels:
        mask = (1 << depth) - 1
        values = (int.from_bytes(chunk.body[at : at + 2], "big") & mask for at in range(0, 2 * channels, 2))
        source.transparent, source.depth = tuple(values), depth
    return []


def _profile(colours: dict[bytes, bytes], header: bytes, source: Source) -> bytes | None:
    """Return the profile that holds: of several ways to say it the first of cICP, iCCP, sRGB, gAMA with cHRM."""
    colours = {name: body for name, body in colours.items() if len(body) == _LENGTHS.get(name, len(body))}
    if b"cICP" in colours:
        primaries, transfer, matrix, full_range = colours[b"cICP"]
        if matrix == 0 and full_range == 1:
            found = profile_from_cicp(primaries, transfer)
            if found is not None:
                if found.is_hdr:
                    source.notes.append(Note.HDR_TONE_MAPPED)
                return found.icc
    if b"iCCP" in colours:
        profile = _inflated_profile(colours[b"iCCP"])
        if profile is not None:
            return profile
        source.notes.append(Note.PROFILE_IGNORED)
    is_gray = header[9] in {0, 4}
    if b"sRGB" in colours or (b"gAMA" not in colours and b"cHRM" not in colours):
        return None
    gamma = int.from_bytes(colours.get(b"gAMA", b""), "big") / 100_000 or _SRGB_GAMMA
    points = colours.get(b"cHRM", b"")
    chromaticities = tuple(int.from_bytes(points[at : at + 4], "big") / 100_000 for at in range(0, 32, 4))
    is_usual = abs(gamma / _SRGB_GAMMA - 1) <= _EQUAL_GAMMA
    return profile_from_gamma(
        None if is_usual else 1 / gamma, chromaticities if points and not is_gray else None, is_gray=is_gray
    )


def _inflated_profile(body: bytes) -> bytes | None:
    name = body[:81].partition(b"\0")[0]
    if not name or body[len(name) + 1 : len(name) + 2] != b"\0":
        return None
    return _inflated(body[len(name) + 2 :], _MAX_PROFILE_BYTES)


def _inflated(packed: bytes, limit: int) -> bytes | None:
    """Return what was deflated, unless it is broken or larger than the limit."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, limit + 1)
    except zlib.error:
        return None
    return data if len(data) <= limit else None


def _latin1_text(body: bytes) -> tuple[bytes, bytes] | None:
    key, _, text = body[: 80 + _MAX_TEXT_BYTES].partition(b"\0")
    return key, text.decode("latin-1").encode()


def _packed_text(body: bytes) -> tuple[bytes, bytes] | None:
    key = body[:80].partition(b"\0")[0]
    text = _beginning(body[len(key) + 2 :])
    return None if text is None else (key, text.decode("latin-1").encode())


def _international_text(body: bytes) -> tuple[bytes, bytes] | None:
    key = body[:80].partition(b"\0")[0]
    flags, rest = body[len(key) + 1 : len(key) + 3], body[len(key) + 3 :]
    if rest.count(b"\0") < 2 or len(flags) < 2:
        return None
    text = rest.split(b"\0", 2)[2]
    unpacked = _beginning(text) if flags[0] else text
    return None if unpacked is None else (key, unpacked)


def _beginning(packed: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(packed, _MAX_TEXT_BYTES + 4)
    except zlib.error:
        return None


_TEXT_READERS = {b"tEXt": _latin1_text, b"zTXt": _packed_text, b"iTXt": _international_text}


def _read_text(chunk: Chunk, source: Source) -> None:
    if not chunk.body.startswith(tuple(_TEXTS)):
        return
    found = _TEXT_READERS[chunk.name](chunk.body)
    if found is not None and found[0] in _TEXTS and (text := found[1].strip(b"\0 ")):
        source.rights.setdefault(_TEXTS[found[0]], text)


def stripped(data: bytes, exif: bytes) -> bytes | None:
    """Return the same picture up to its end, with this EXIF block and no other metadata; None when it has no end."""
    kept = [data[:_SIGNATURE_BYTES]]
    for chunk in chunks(data):
        needs_checksum = chunk.name in _KEPT and chunk.name in {b"IHDR", b"PLTE", b"IDAT"}
        if len(chunk.checksum) < 4:
            return None
        if chunk.name in _KEPT and (needs_checksum or chunk.is_right):
            kept.append(data[chunk.start : chunk.end])
        if chunk.name == b"IHDR" and exif:
            kept.append(_chunk(b"eXIf", exif))
        if chunk.name == b"IEND":
            return b"".join(kept)
    return None
