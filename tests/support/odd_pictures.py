"""Pictures whose bytes are odd, made in memory: what draws nothing, what draws in a rare way, and missing ends."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from PIL import Image

from support.pictures import encoded, png_chunk

WARM, COLD = (220, 120, 30), (30, 90, 200)


def halves(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """Return a picture that is warm at the left and cold at the right."""
    image = Image.new("RGB", (width, height), WARM)
    image.paste(COLD, (width // 2, 0, width, height))
    return image.convert(mode)


# --- JPEG


def segment(marker: int, body: bytes) -> bytes:
    """Return a JPEG segment."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def with_segments(data: bytes, *segments: bytes, behind_jfif: bool = True) -> bytes:
    """Return a JPEG of Pillow's with further segments near its beginning."""
    at = 20 if behind_jfif and data[2:4] == b"\xff\xe0" else 2
    return data[:at] + b"".join(segments) + data[at:]


def exif_block(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """Return an EXIF block without header; entries are tag, type, count and value."""
    directory, behind = struct.pack(f"{order}H", len(entries)), b""
    at = 8 + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        if len(value) > 4:
            value, behind = struct.pack(f"{order}I", at + len(behind)), behind + value
        directory += struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8) + directory + bytes(4) + behind


def text_entry(tag: int, text: bytes) -> tuple[int, int, int, bytes]:
    """Return an entry of EXIF that holds a text."""
    return tag, 2, len(text) + 1, text + b"\0"


# --- PNG


def png_of(
    width: int,
    height: int,
    depth: int,
    colour_type: int,
    rows: Sequence[bytes],
    *,
    before: bytes = b"",
    after: bytes = b"",
    end: bytes | None = None,
) -> bytes:
    """Return a PNG of unfiltered rows with whole chunks before and after its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 9))
    last = png_chunk(b"IEND", b"") if end is None else end
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + before + pixels + after + last


def warm_png(before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a warm PNG of 32 x 24 px."""
    return png_of(32, 24, 8, 2, [bytes(WARM) * 32] * 24, before=before, after=after)


def wrong_chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk whose checksum is wrong."""
    return png_chunk(name, body)[:-4] + b"oops"


def frame_control(number: int, width: int, height: int, x: int = 0, y: int = 0) -> bytes:
    """Return the chunk before an APNG's frame, which is shown for 200 ms."""
    return png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, x, y, 20, 100, 0, 0))


def apng(
    colours: Sequence[tuple[int, int, int]],
    *,
    hidden: tuple[int, int, int] | None = None,
    numbers: Sequence[int] | None = None,
    announced: int | None = None,
    size: tuple[int, int] = (40, 30),
) -> bytes:
    """Return an APNG of plain frames; `hidden` is a default picture that is none of them, `numbers` the sequence."""
    width, height = size
    following = iter(numbers if numbers is not None else range(1000))

    def packed(colour: tuple[int, int, int]) -> bytes:
        return zlib.compress((b"\0" + bytes(colour) * width) * height)

    before = png_chunk(b"acTL", struct.pack(">II", announced or len(colours), 0))
    after, rest = b"", list(colours)
    first = hidden or colours[0]
    if hidden is None:
        before += frame_control(next(following), width, height)
        rest = rest[1:]
    for colour in rest:
        after += frame_control(next(following), width, height)
        after += png_chunk(b"fdAT", struct.pack(">I", next(following)) + packed(colour))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (png_chunk(b"IHDR", header), before, png_chunk(b"IDAT", packed(first)), after, png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# --- GIF


def gif_blocks(data: bytes) -> bytes:
    """Return data in the blocks of a GIF, with their end."""
    pieces = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes((len(piece),)) + piece for piece in pieces) + b"\0"


def gif(
    width: int,
    height: int,
    frames: Sequence[tuple[int, int, int, int, int]],
    *,
    last_code: bool = True,
    end: bytes = b";",
) -> bytes:
    """Return a GIF of plain frames (x, y, width, height, colour 0 to 2: warm, cold, white), codes not compressed."""
    palette = bytes((*WARM, *COLD, 255, 255, 255)).ljust(3 * 128, b"\0")
    data = b"GIF89a" + struct.pack("<HHBBB", width, height, 0b11110110, 0, 0) + palette
    data += b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    for x, y, w, h, colour in frames:
        # With 7 bits of colours a code is a byte until 128 are in the table: cleared before that.
        codes = b"".join(b"\x80" + bytes((colour,)) * min(100, w * h - at) for at in range(0, w * h, 100))
        data += b"\x21\xf9\x04\x04" + struct.pack("<H", 20) + b"\0\0"
        data += b"\x2c" + struct.pack("<HHHHB", x, y, w, h, 0) + b"\x07"
        data += gif_blocks(codes + (b"\x81" if last_code else b""))
    return data + end


# --- TIFF


def tiff(
    tags: dict[int, tuple[int, Sequence[int]]], strips: Sequence[bytes], *, order: str = "<", following: bytes = b""
) -> bytes:
    """Return a TIFF of one directory; tags map to type and integers, places and sizes of the strips are filled in."""
    own = {**tags, 273: (4, [0] * len(strips)), 279: (4, [len(strip) for strip in strips])}

    def raw(kind: int, values: Sequence[int]) -> bytes:
        return struct.pack(f"{order}{len(values)}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", *values)

    begin = 8 + 2 + 12 * len(own) + 4
    at = begin + sum(len(raw(*entry)) for entry in own.values() if len(raw(*entry)) > 4)
    own[273] = (4, [at + sum(map(len, strips[:number])) for number in range(len(strips))])
    directory, behind = struct.pack(f"{order}H", len(own)), b""
    for tag, (kind, values) in sorted(own.items()):
        value = raw(kind, values)
        if len(value) > 4:
            value, behind = struct.pack(f"{order}I", begin + len(behind)), behind + value
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8) + directory + bytes(4) + behind + b"".join(strips)


def plain_tiff(
    width: int, height: int, bits: Sequence[int], photometric: int, **more: tuple[int, Sequence[int]]
) -> dict[int, tuple[int, Sequence[int]]]:
    """Return the tags of a TIFF that is not compressed; further ones as `t320=(3, [...])`."""
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, bits),
        259: (3, [1]),
        262: (3, [photometric]),
        277: (3, [len(bits)]),
        278: (4, [height]),
    }
    return tags | {int(name[1:]): value for name, value in more.items()}


def planar_tiff(
    photometric: int,
    left: Sequence[int],
    right: Sequence[int],
    *,
    order: str = "<",
    strips_a_plane: int = 1,
    extra: int | None = None,
    size: tuple[int, int] = (48, 32),
) -> bytes:
    """Return a TIFF of 16 bits whose channels lie in planes, one colour at the left and another at the right."""
    width, height = size
    rows = height // strips_a_plane
    strips = []
    for first, second in zip([*left, *([extra] if extra else [])], [*right, *([extra] if extra else [])], strict=True):
        row = struct.pack(f"{order}{width}H", *([first] * (width // 2) + [second] * (width - width // 2)))
        strips += [row * rows] * strips_a_plane
    count = len(left) + bool(extra)
    more: dict[str, tuple[int, Sequence[int]]] = {"t284": (3, [2]), "t278": (4, [rows])}
    if extra:
        more["t338"] = (3, [0])
    return tiff(plain_tiff(width, height, [16] * count, photometric, **more), strips, order=order)


# --- ICO and PSD


def icon(*sides: int, as_png: bool = True, cursor: bool = False) -> bytes:
    """Return an icon of square pictures, whose sides tell them apart, warm and cold; as PNG or as bitmaps."""
    if not as_png:
        return encoded(
            halves(max(sides), max(sides)).convert("RGBA"), "ICO", sizes=[(s, s) for s in sides], bitmap_format="bmp"
        )
    pictures = [encoded(halves(side, side), "PNG") for side in sides]
    data, at = struct.pack("<HHH", 0, 2 if cursor else 1, len(sides)), 6 + 16 * len(sides)
    for side, picture in zip(sides, pictures, strict=True):
        data += struct.pack("<BBBBHHII", side % 256, side % 256, 0, 0, 1, 32, len(picture), at)
        at += len(picture)
    return data + b"".join(pictures)


def psd(image: Image.Image, *, packed: bool = False, merged: bool = True) -> bytes:
    """Return a flattened PSD: gray, RGB or CMYK of 8 bits, plain or run-length packed."""
    mode = {"L": 1, "RGB": 3, "CMYK": 4}[image.mode]
    channels = [band.tobytes() for band in image.split()]
    if image.mode == "CMYK":
        channels = [bytes(255 - value for value in channel) for channel in channels]
    version = struct.pack(">IB", 1, merged) + struct.pack(">II", 0, 0) + struct.pack(">I", 1)
    resource = (
        b"8BIM"
        + struct.pack(">H", 1057)
        + b"\0\0"
        + struct.pack(">I", len(version))
        + version
        + bytes(len(version) % 2)
    )
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, len(channels), image.height, image.width, 8, mode)
    body = struct.pack(">I", 0) + struct.pack(">I", len(resource)) + resource + struct.pack(">I", 0)
    if not packed:
        return head + body + b"\0\0" + b"".join(channels)
    rows = [
        b"".join(
            bytes((min(127, image.width - at) - 1,)) + channel[start + at : start + min(at + 127, image.width)]
            for at in range(0, image.width, 127)
        )
        for channel in channels
        for start in range(0, image.width * image.height, image.width)
    ]
    return head + body + b"\0\1" + b"".join(struct.pack(">H", len(row)) for row in rows) + b"".join(rows)
