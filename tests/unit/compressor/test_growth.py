"""Time is linear in the bytes wherever a stranger's bytes are looked at, with inputs made to be slow.

How it is measured: `support.growth`.
"""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from collections.abc import Callable

import pytest

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressPolicy
from chassis.egress.cookies import CallCookies
from compressor.images import gif, icon, jpeg, png, psd, tiff, webp
from compressor.images.exif import kept_exif, orientation
from compressor.images.model import CodecError, Metadata
from compressor.images.sniff import is_cut_off, sniff
from compressor.images.stripping import stripped
from compressor.origin.fetch import ImageFetcher
from compressor.origin.robots import refusal
from compressor.settings import CompressorSettings
from support import odd_pictures as odd
from support import pictures
from support.growth import MAX_GROWTH, growth
from support.pictures import png_chunk

pytestmark = pytest.mark.timing

JPEG = pictures.encoded(odd.halves(), "JPEG")
PROGRESSIVE = pictures.encoded(odd.halves(), "JPEG", progressive=True)
SCAN = JPEG.rindex(b"\xff\xda") + 14
PNG_HEAD, PNG_TAIL = odd.warm_png()[:33], odd.warm_png()[33:]
FETCHER = ImageFetcher(
    Egress(EgressPolicy(allowed_networks=parse_networks(())), user_agent="t/1", clock=SystemClock()), SystemClock()
)


def repeated(piece: bytes, size: int) -> bytes:
    return piece * (size // len(piece) + 1)


def webp_of(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def exif_pointing_everywhere(size: int) -> bytes:
    """Return a block of many entries, each of which claims all of it as its text."""
    entries = [(0x8298 if at % 2 else 0x013B, 2, size, 8) for at in range(min(60_000, size // 24))]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (b"II*\0\x08\0\0\0" + directory + bytes(4)).ljust(size, b"x")


def tiff_chain(size: int) -> bytes:
    """Return a TIFF whose directories follow one another to its end."""
    count = size // 18
    parts = [struct.pack("<HHHIII", 1, 256, 4, 1, 1, 8 + 18 * (at + 1)) for at in range(count)]
    return b"II*\0\x08\0\0\0" + b"".join(parts)


def gif_of(blocks: bytes) -> bytes:
    whole = odd.gif(40, 30, [(0, 0, 40, 30, 0)])
    return whole[:397] + blocks + whole[397:]


IMAGES: dict[str, tuple[Callable[[bytes], object], Callable[[int], bytes]]] = {
    "sniff: an open comment": (sniff, lambda n: b"<!--" + repeated(b"<!-- ", n)),
    "sniff: declarations": (sniff, lambda n: repeated(b"<?x ?>", n)),
    "sniff: open declarations": (sniff, lambda n: repeated(b"<?", n)),
    "sniff: open doctypes": (sniff, lambda n: repeated(b"<!doctype [", n)),
    "sniff: blanks": (sniff, lambda n: repeated(b" ", n)),
    "sniff: a name": (sniff, lambda n: b"<" + repeated(b"a:", n)),
    "cut off: JPEG": (lambda data: is_cut_off("JPEG", data), lambda n: b"\xff\xd8\xff" + repeated(b"\xff", n)),
    "cut off: boxes": (lambda data: is_cut_off("AVIF", data), lambda n: repeated(struct.pack(">I4s", 8, b"free"), n)),
    "cut off: GIF": (lambda data: is_cut_off("GIF", data), lambda n: repeated(b"\0", n)),
    "JPEG: fill bytes": (jpeg.readable, lambda n: b"\xff\xd8" + repeated(b"\xff", n) + JPEG[2:]),
    "JPEG: fill bytes in the pixels": (
        jpeg.readable,
        lambda n: JPEG[:SCAN] + repeated(b"\xff", n) + b"\0" + JPEG[SCAN:],
    ),
    "JPEG: comments": (jpeg.readable, lambda n: b"\xff\xd8" + repeated(b"\xff\xfe\0\2", n) + JPEG[2:]),
    "JPEG: profiles": (
        jpeg.readable,
        lambda n: b"\xff\xd8" + repeated(odd.segment(0xE2, b"ICC_PROFILE\0"), n) + JPEG[2:],
    ),
    "JPEG: restarts": (jpeg.readable, lambda n: JPEG[:SCAN] + repeated(b"\xff\xd0\xff\xd1", n) + JPEG[SCAN:]),
    "JPEG: garbage between segments": (jpeg.readable, lambda n: JPEG[:20] + repeated(b"\xff\0", n) + JPEG[20:]),
    "JPEG: tables between scans": (
        jpeg.readable,
        lambda n: PROGRESSIVE[:-2] + repeated(b"\xff\xdb\0\2", n) + PROGRESSIVE[-2:],
    ),
    "JPEG: many scans": (jpeg.readable, lambda n: PROGRESSIVE[:-2] + repeated(b"\xff\xda\0\4\0\0", min(n, 400_000))),
    "stripped JPEG: fill bytes": (
        lambda data: stripped("JPEG", data),
        lambda n: JPEG[:SCAN] + repeated(b"\xff", n) + b"\0" + JPEG[SCAN:],
    ),
    "stripped JPEG: comments": (
        lambda data: stripped("JPEG", data),
        lambda n: JPEG[:20] + repeated(b"\xff\xfe\0\2", n),
    ),
    "PNG: empty chunks": (png.readable, lambda n: PNG_HEAD + repeated(png_chunk(b"tEXt", b""), n) + PNG_TAIL),
    "PNG: texts": (
        png.readable,
        lambda n: PNG_HEAD + repeated(png_chunk(b"iTXt", b"Copyright\0\0\0\0\0x"), n) + PNG_TAIL,
    ),
    "PNG: one long text": (png.readable, lambda n: PNG_HEAD + png_chunk(b"iTXt", b"Copyright" + bytes(n)) + PNG_TAIL),
    "PNG: frames": (png.readable, lambda n: PNG_HEAD + repeated(odd.frame_control(0, 1, 1), n) + PNG_TAIL),
    "PNG: a deflated profile": (
        png.readable,
        lambda n: PNG_HEAD + png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(n * 20))) + PNG_TAIL,
    ),
    "stripped PNG: chunks": (
        lambda data: stripped("PNG", data),
        lambda n: PNG_HEAD + repeated(png_chunk(b"tEXt", b""), n) + PNG_TAIL,
    ),
    "WebP: chunks": (webp.readable, lambda n: webp_of(repeated(b"abcd\0\0\0\0", n))),
    "WebP: EXIF": (webp.readable, lambda n: webp_of(repeated(b"EXIF\2\0\0\0xx", n))),
    "GIF: comments": (gif.readable, lambda n: gif_of(b"\x21\xfe" + repeated(b"\1x", n) + b"\0")),
    "GIF: extensions": (gif.readable, lambda n: gif_of(repeated(b"\x21\xfe\0", n))),
    "GIF: ends of blocks": (gif.readable, lambda n: gif_of(bytes(n))),
    "GIF: codes": (
        lambda data: gif._codes_fill(data, 0, len(data), 1 << 60),
        lambda n: b"\x08" + odd.gif_blocks(repeated(b"\x01\x02\x04", n)),
    ),
    "TIFF: directories": (tiff.readable, tiff_chain),
    "TIFF: entries of all": (tiff.readable, exif_pointing_everywhere),
    "EXIF: entries of all": (
        lambda data: (orientation(data), kept_exif(data, Metadata.KEEP, {})),
        exif_pointing_everywhere,
    ),
    "ICO: entries": (icon.readable, lambda n: b"\0\0\1\0\xff\xff" + repeated(b"\x10\x10\0\0" + bytes(12), n)),
    "PSD: resources": (
        psd.readable,
        lambda n: (
            odd.psd(odd.halves())[:26]
            + bytes(4)
            + struct.pack(">I", len(repeated(b"8BIM\4\0\0\0\0\0\0\0", n)))
            + repeated(b"8BIM\4\0\0\0\0\0\0\0", n)
            + bytes(8)
        ),
    ),
}
HEADERS: dict[str, tuple[Callable[[bytes], object], Callable[[int], bytes]]] = {
    "robots: names": (lambda data: refusal(data.decode("latin-1")), lambda n: repeated(b"a:", n)),
    "robots: directives": (lambda data: refusal(data.decode("latin-1")), lambda n: repeated(b"x,", n)),
    "robots: blanks": (lambda data: refusal(data.decode("latin-1")), lambda n: b"a" + repeated(b" ", n)),
    "Retry-After: digits": (
        lambda data: FETCHER._retry_after({"Retry-After": data.decode()}),
        lambda n: repeated(b"9", n),
    ),
    "Retry-After: words": (
        lambda data: FETCHER._retry_after({"Retry-After": data.decode()}),
        lambda n: repeated(b"Sun, ", n),
    ),
    "cookies": (
        lambda data: CallCookies().take("http://a.example/", [data.decode()] * 3),
        lambda n: b"a=b" + repeated(b"; Path=/x", n),
    ),
}
PARSERS = IMAGES | HEADERS


@pytest.mark.parametrize("name", PARSERS)
def test_time_grows_no_faster_than_the_bytes(name: str) -> None:
    """At most 2.6 times the time for twice the bytes; what is said of them does not matter."""
    look, make = PARSERS[name]

    def work(data: bytes) -> None:
        with contextlib.suppress(CodecError, ValueError, IndexError):
            look(data)

    assert growth(make, work, size=16_384) < MAX_GROWTH


def test_the_directory_of_an_icon_costs_the_same_whatever_follows_it() -> None:
    """What follows was copied for each of its thousand entries: seconds for as much as is fetched."""
    longest = CompressorSettings.model_fields["fetch_max_bytes"].default
    large = b"\0\0\1\0\xff\xff" + repeated(b"\x10\x10\0\0" + bytes(12), longest)
    begun = time.process_time()
    with contextlib.suppress(CodecError):
        icon.readable(large)

    assert time.process_time() - begun < 0.5
