"""The markers of a JPEG: what a decoder needs of it, what a kept original may keep, and whether its end is there.

Segments that draw nothing (XMP, MPF, comments, makers' own) are dropped before decoding: an odd one costs no picture,
and none is parsed that is not needed. Time is linear in the bytes: a marker is looked for once, and never within the
pixels of a picture of a single scan. Source: ITU T.81, annex B.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from PIL import Image

from compressor.images.model import CodecError, Note, OutcomeCode
from compressor.images.source import Source

_SOI, _EOI, _SOS, _DRI, _COM = 0xD8, 0xD9, 0xDA, 0xDD, 0xFE
_APP0, _EXIF, _ICC, _ADOBE, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in pixels, FF is followed by 0 or a restart's number
_END = re.compile(rb"\xff\xd9")  # three times as fast as bytes.find, which stops at every FF
_ANY_MARKER = re.compile(rb"\xff[^\x00\xff]")
_RESTARTS = range(0xD0, 0xD8)
_EXIF_HEADER = b"Exif\0\0"
_ICC_HEADER = b"ICC_PROFILE\0"
_ADOBE_BYTES = 12
_JFIF = b"JFIF\0"
_JFIF_BYTES = 14
_MAX_SCANNED_PIXELS = 1_000_000_000  # pixels x scans: 20 scans at 50 MP, some seconds of CPU
_PADDING = bytes(16)
"""What a decoder that looks ahead reads behind the last pixel: it needs eight bytes, and hardly a pixel fits in 16."""
_TRIED_PADDINGS = (16, 19)
_UNREAD = re.compile(r"image file is truncated \((\d+) bytes? not processed\)")


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker with what belongs to it: `data[start:end]`; `body` is where its content begins."""

    marker: int
    start: int
    body: int
    end: int


def next_segment(data: bytes, at: int) -> Segment | None:
    """Return the marker segment at or behind a place; None when there is no whole one. Bytes between are skipped."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0 or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 2
        else:
            break
    if marker == _EOI:
        return Segment(marker, at, at + 2, at + 2)
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return Segment(marker, at, at + 4, end) if at + 4 <= end <= len(data) else None


def readable(data: bytes) -> Source:
    """Return what a decoder needs of a JPEG.

    Raises:
        CodecError: IMAGE_TRUNCATED, it ends within its pixels; DECODE_ERROR, it has too many scans.
        ValueError: it is cut off before its pixels, or damaged.
    """
    kept, exif, frame, scan = [b"\xff\xd8"], b"", None, None
    restart_interval = 0
    at = 2
    while scan is None:
        segment = next_segment(data, at)
        if segment is None or segment.marker == _EOI:
            raise ValueError("no pixels")
        content = data[segment.body : segment.end]
        if segment.marker == _EXIF and content.startswith(_EXIF_HEADER) and not exif:
            exif = content[len(_EXIF_HEADER) :]
        elif segment.marker == _SOS:
            scan = segment
        elif segment.marker in _FRAMES:
            frame = segment
        elif segment.marker == _DRI:
            restart_interval = int.from_bytes(content[:2], "big")
        if segment.marker != _SOS:
            kept.append(_kept(data, segment, for_decoder=True))
        at = segment.end
    if frame is None:
        raise ValueError("no frame")
    head = b"".join(kept)
    has_more_scans = frame.marker in _PROGRESSIVE or data[scan.body] < data[frame.body + 5]
    if has_more_scans:
        return _of_scans(data, head, exif, frame, scan)
    return _of_one_scan(data, head, exif, scan, restart_interval)


def _of_one_scan(data: bytes, head: bytes, exif: bytes, scan: Segment, restart_interval: int) -> Source:
    """Return the source of a picture whose pixels lie in one piece: its end is not given to the decoder.

    A decoder that meets the end marker too early makes up the rest; without the marker it says that bytes are missing.
    """
    view = memoryview(data)
    found = _END.search(data, scan.end)
    if found is None:
        return Source("JPEG", b"".join((head, view[scan.start :], _PADDING)), [Note.END_MISSING], exif)
    end = found.start()

    def as_browsers_read_it() -> Source:
        return Source("JPEG", b"".join((head, view[scan.start : end], b"\xff\xd9")), [Note.DAMAGED], exif)

    decoded = b"".join((head, view[scan.start : end], _PADDING))
    source = Source("JPEG", decoded, [], exif, second=as_browsers_read_it)
    source.pixels_end = len(decoded.rstrip(b"\0\xff"))
    if restart_interval and not _restarts_in_order(data, scan.end, end):
        return as_browsers_read_it()
    return source


def _restarts_in_order(data: bytes, start: int, end: int) -> bool:
    """Return whether the restart markers count from 0 to 7 again and again, with no other marker among them.

    A decoder that meets another marker goes on at the next restart, mostly without an error. Behind the last restart a
    segment may stand.
    """
    number, has_other = 0, False
    for match in _ANY_MARKER.finditer(data, start, end):
        marker = data[match.start() + 1]
        if marker not in _RESTARTS:
            has_other = True
        elif has_other or marker != _RESTARTS[number % 8]:
            return False
        else:
            number += 1
    return True


def _of_scans(data: bytes, head: bytes, exif: bytes, frame: Segment, scan: Segment) -> Source:
    height = int.from_bytes(data[frame.body + 1 : frame.body + 3], "big")
    width = int.from_bytes(data[frame.body + 3 : frame.body + 5], "big")
    scans, at = [scan], scan.end
    while True:
        found = _NEXT_MARKER.search(data, at)
        segment = None if found is None else next_segment(data, found.start())
        if segment is None:
            pixels = head + data[scan.start :]
            is_whole = found is None and _all_is_drawn(data, frame, scans) and _last_scan_is_whole(pixels)
            if not is_whole:
                raise CodecError(OutcomeCode.IMAGE_TRUNCATED, "the JPEG file ends too early")
            return Source("JPEG", pixels + b"\xff\xd9", [Note.END_MISSING], exif)
        if segment.marker == _EOI:
            return Source("JPEG", head + data[scan.start : segment.end], [], exif)
        if segment.marker == _SOS:
            scans.append(segment)
        if len(scans) * width * height > _MAX_SCANNED_PIXELS:
            raise CodecError(OutcomeCode.DECODE_ERROR, "the JPEG file has more scans than any honest picture")
        at = segment.end


def _all_is_drawn(data: bytes, frame: Segment, scans: list[Segment]) -> bool:
    """Return whether the scans bring every coefficient of every component to its last bit."""
    components = {data[frame.body + 6 + 3 * number] for number in range(data[frame.body + 5])}
    open_coefficients = {component: set(range(64)) for component in components}
    for scan in scans:
        count = data[scan.body]
        first, last, bits = data[scan.body + 1 + 2 * count : scan.body + 4 + 2 * count]
        if bits & 15 == 0:
            for number in range(count):
                open_coefficients.get(data[scan.body + 1 + 2 * number], set()).difference_update(range(first, last + 1))
    return not any(open_coefficients.values())


def _last_scan_is_whole(pixels: bytes) -> bool:
    """Return whether a decoder leaves the last scan behind, shown by how it waits for more.

    A decoder within a scan goes back to the begin of the block that is not whole; one that looks for the next marker
    goes back to the one FF that might be its first half. How much padding the former takes at once depends on its
    length, so two are tried.
    """
    return all(_unread_bytes(pixels + bytes(padding) + b"\xff") == 1 for padding in _TRIED_PADDINGS)


def _unread_bytes(data: bytes) -> int | None:
    try:
        Image.open(io.BytesIO(data), formats=["JPEG"]).load()
    except OSError as error:
        said = _UNREAD.match(str(error))
        return None if said is None else int(said[1])
    return None


def _kept(data: bytes, segment: Segment, *, for_decoder: bool) -> bytes:
    """Return what is kept of a segment: all that draws; of JFIF and Adobe's what they are defined to hold.

    Adobe's says how the colours are stored. A profile is for the decoder only: what is kept has had it converted.
    """
    content = data[segment.body : segment.end]
    match segment.marker:
        case marker if marker == _APP0:
            if not content.startswith(_JFIF) or len(content) < _JFIF_BYTES:
                return b""
            return b"\xff\xe0\x00\x10" + content[: _JFIF_BYTES - 2] + b"\0\0"  # without a thumbnail
        case marker if marker == _ADOBE:
            if not content.startswith(b"Adobe") or len(content) < _ADOBE_BYTES:
                return b""
            return b"\xff\xee\x00\x0e" + content[:_ADOBE_BYTES]
        case marker if marker == _ICC:
            return data[segment.start : segment.end] if for_decoder and content.startswith(_ICC_HEADER) else b""
        case marker if marker == _COM or _APP0 <= marker <= _APP15:
            return b""
        case _:
            return data[segment.start : segment.end]


def stripped(data: bytes, exif: bytes) -> bytes | None:
    """Return the same picture up to its end, with this EXIF block and no other metadata; None when it has no end."""
    kept = [b"\xff\xd8"]
    if exif:
        kept.append(b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif)
    at, pixels = 2, 0
    while True:
        if pixels:
            found = _NEXT_MARKER.search(data, at)
            at = len(data) if found is None else found.start()
            kept.append(data[pixels:at])
            pixels = 0
        segment = next_segment(data, at)
        if segment is None:
            return None
        if segment.marker == _EOI:
            kept.append(b"\xff\xd9")
            return b"".join(kept)
        kept.append(_kept(data, segment, for_decoder=False))
        at = segment.end
        if segment.marker == _SOS:
            pixels = at
