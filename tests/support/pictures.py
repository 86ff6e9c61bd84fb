"""Pictures made in memory, for tests and the demo: every kind that an origin may hand out, honest or hostile.

Nothing is read from disk, and equal arguments give equal bytes (fixed seeds). Needs Pillow only.
"""

from __future__ import annotations

import io
import random
import struct
import zlib

from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageFilter

ORIENTATION_TAG = 0x0112
_GPS_TAG = 0x8825


def photo(width: int = 640, height: int = 480, *, seed: int = 1) -> Image.Image:
    """Return an RGB picture with a photo's statistics: smooth light, textured noise, and a few hard edges."""
    dice = random.Random(seed)
    light = Image.merge("RGB", [_gradient(width, height, dice) for _ in range(3)])
    draw = ImageDraw.Draw(light)
    for _ in range(12):
        x, y = dice.randrange(width), dice.randrange(height)
        radius_x, radius_y = dice.randrange(4, width // 4 + 5), dice.randrange(4, height // 4 + 5)
        box = (x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        colour = (dice.randrange(256), dice.randrange(256), dice.randrange(256))
        if dice.random() < 0.5:
            draw.ellipse(box, fill=colour)
        else:
            draw.rectangle(box, fill=colour)
    return ImageChops.add(light, _grain(width, height, dice), scale=1, offset=-24)


def _gradient(width: int, height: int, dice: random.Random) -> Image.Image:
    coarse = Image.new("L", (5, 4))
    coarse.putdata([dice.randrange(40, 216) for _ in range(20)])
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def _grain(width: int, height: int, dice: random.Random) -> Image.Image:
    tile = Image.frombytes("L", (128, 128), dice.randbytes(128 * 128)).filter(ImageFilter.GaussianBlur(0.8))
    tile = tile.point([value * 48 // 255 for value in range(256)])
    grain = Image.new("L", (width, height))
    for x in range(0, width, 128):
        for y in range(0, height, 128):
            grain.paste(tile, (x, y))
    return Image.merge("RGB", (grain, grain, grain))


def encoded(image: Image.Image, image_format: str = "JPEG", **options: object) -> bytes:
    """Return a picture's bytes in a format of Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def photo_jpeg(width: int = 640, height: int = 480, *, seed: int = 1, quality: int = 92, **options: object) -> bytes:
    """Return a photo-like JPEG as a camera or a shop's export makes it."""
    return encoded(photo(width, height, seed=seed), "JPEG", quality=quality, **options)


def quadrants(width: int = 160, height: int = 96) -> Image.Image:
    """Return a picture whose corners are red, green, blue and white (left to right, top to bottom)."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill=(220, 30, 30))
    draw.rectangle((width // 2, 0, width, height // 2 - 1), fill=(30, 160, 30))
    draw.rectangle((0, height // 2, width // 2 - 1, height), fill=(30, 30, 220))
    return image


def oriented_jpeg(orientation: int, upright: Image.Image | None = None, *, quality: int = 95) -> bytes:
    """Return a JPEG whose EXIF orientation (1-8) turns its stored pixels into `upright`."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = upright or quadrants()
    stored = image.transpose(back[orientation]) if orientation in back else image
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return encoded(stored, "JPEG", quality=quality, exif=exif.tobytes(), subsampling=0)


def located_jpeg(image: Image.Image | None = None, *, quality: int = 92) -> bytes:
    """Return a JPEG that tells where and by whom it was taken: GPS, maker, owner, comment."""
    exif = Image.Exif()
    exif[0x010F] = "SecretMaker"
    exif[0x8298] = "Copyright Somebody"
    exif.get_ifd(_GPS_TAG).update({1: "N", 2: (52.0, 30.0, 59.0), 3: "E", 4: (13.0, 22.0, 39.0)})
    return encoded(image or photo(320, 240), "JPEG", quality=quality, exif=exif.tobytes(), comment=b"SecretComment")


def cmyk_jpeg(inks: tuple[int, int, int, int], *, adobe: bool = True, size: tuple[int, int] = (64, 64)) -> bytes:
    """Return a CMYK JPEG of one colour, inks 0-255: stored inverted with Adobe's marker, plainly without it."""
    image = Image.new("CMYK", size, inks)
    if adobe:
        return encoded(image, "JPEG", quality=95)
    data = encoded(ImageChops.invert(image), "JPEG", quality=95)
    return _without_segment(data, 0xEE)


def ycck_jpeg(inks: tuple[int, int, int, int], *, size: tuple[int, int] = (64, 64)) -> bytes:
    """Return a YCCK JPEG as Photoshop writes it: Adobe's marker with transform 2, inverted inks, C M Y as Y Cb Cr."""
    # The encoder stores 255 - plane. Stored K must be 255 - K; stored Y Cb Cr those of (C, M, Y) taken as R G B,
    # because decoders make inks of them by 255 - RGB and what is stored is inverted once more.
    cyan, magenta, yellow, black = inks
    luma = Image.new("RGB", size, (cyan, magenta, yellow)).convert("YCbCr")
    planes = [ImageChops.invert(band) for band in luma.split()]
    image = Image.merge("CMYK", [*planes, Image.new("L", size, black)])
    data = bytearray(encoded(image, "JPEG", quality=95, subsampling=0))
    adobe = data.index(b"Adobe")
    data[adobe + 11] = 2
    return bytes(data)


def _without_segment(data: bytes, marker: int) -> bytes:
    at = data.index(bytes((0xFF, marker)))
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    return data[:at] + data[at + 2 + length :]


def sixteen_bit_png(width: int = 256, height: int = 16) -> bytes:
    """Return a 16-bit gray PNG: a ramp over the whole range from left to right."""
    row = b"".join(struct.pack(">H", x * 65535 // (width - 1)) for x in range(width))
    return png(width, height, bit_depth=16, colour_type=0, rows=[row] * height)


def alpha_ramp(width: int = 256, height: int = 16, colour: tuple[int, int, int] = (200, 0, 0)) -> Image.Image:
    """Return an RGBA picture of one colour, transparent at the left and opaque at the right."""
    image = Image.new("RGBA", (width, height), (*colour, 0))
    ramp = Image.new("L", (width, 1))
    ramp.putdata([x * 255 // (width - 1) for x in range(width)])
    image.putalpha(ramp.resize((width, height)))
    return image


def animation(image_format: str, frames: int = 3, size: tuple[int, int] = (48, 32)) -> bytes:
    """Return an animated GIF, WebP or APNG ("PNG") whose first frame is red and the others are not."""
    colours = [(220, 20, 20), (20, 220, 20), (20, 20, 220)]
    pictures = [Image.new("RGB", size, colours[at % 3]) for at in range(frames)]
    for at, picture in enumerate(pictures):  # equal frames would be merged
        ImageDraw.Draw(picture).point((at % size[0], at // size[0] % size[1]), fill=(255, 255, 255))
    return encoded(pictures[0], image_format, save_all=True, append_images=pictures[1:], duration=40, loop=0)


def display_p3_profile() -> bytes:
    """Return an ICC profile of Display P3: its primaries (D50-adapted) and, for the curve, a gamma of 2.2."""
    return matrix_profile(
        red=(0.51512, 0.24120, -0.00105), green=(0.29198, 0.69225, 0.04189), blue=(0.15710, 0.06657, 0.78407)
    )


def matrix_profile(
    *,
    red: tuple[float, float, float],
    green: tuple[float, float, float],
    blue: tuple[float, float, float],
    gamma: float = 2.2,
) -> bytes:
    """Return an ICC v2 display profile from its colorants (XYZ under D50) and one gamma (ICC.1:2001-04)."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = [
        (b"desc", name + bytes(-len(name) % 4)),
        (b"cprt", b"text" + bytes(4) + b"none" + bytes(4)),
        (b"wtpt", _xyz((0.9642, 1.0, 0.8249))),
        (b"rXYZ", _xyz(red)),
        (b"gXYZ", _xyz(green)),
        (b"bXYZ", _xyz(blue)),
        *((tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, content in tags:
        table += tag + struct.pack(">II", offset + len(body), len(content))
        body += content
    header = bytearray(128)
    struct.pack_into(">I", header, 0, offset + len(body))
    struct.pack_into(">I", header, 8, 0x02400000)
    header[12:24] = b"mntrRGB XYZ "
    header[36:40] = b"acsp"
    struct.pack_into(">iii", header, 68, 63190, 65536, 54061)  # D50
    return bytes(header) + table + body


def _xyz(value: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(part * 65536) for part in value))


def srgb_profile() -> bytes:
    """Return an sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def png_chunk(name: bytes, body: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int,
    height: int,
    *,
    bit_depth: int = 8,
    colour_type: int = 2,
    rows: list[bytes] | None = None,
    extra: tuple[bytes, ...] = (),
) -> bytes:
    """Return a PNG made by hand; without `rows` it is black and its data compress a thousandfold (a bomb).

    `extra` chunks go before the pixels.
    """
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    packer = zlib.compressobj(9)
    if rows is None:
        row = bytes(1 + (width * channels * bit_depth + 7) // 8)
        pixels = b"".join(packer.compress(row) for _ in range(height))
    else:
        pixels = b"".join(packer.compress(b"\0" + row) for row in rows)
    pixels += packer.flush()
    parts = (png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb_png(width: int = 50_000, height: int = 50_000) -> bytes:
    """Return a 1-bit PNG of 50,000 x 50,000 px in about 300 kB."""
    return png(width, height, bit_depth=1, colour_type=0)


def text_bomb_png(megabytes: int = 70) -> bytes:
    """Return a small PNG with a compressed text chunk that inflates to so many MiB."""
    return png(8, 8, extra=(png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(megabytes << 20), 9)),))


def polyglot_jpeg() -> bytes:
    """Return a JPEG that is a script as well: in a comment and behind its end."""
    return encoded(quadrants(), "JPEG", comment=b"<script>alert(1)</script>") + b"PK\x03\x04<script>alert(2)</script>"


HTML_PAGE = b"<!DOCTYPE html>\n<html><head><title>Please log in</title></head><body>Not a picture.</body></html>\n"
"""What many origins answer with status 200 instead of a picture."""

SVG_WITH_ENTITY = b"""<?xml version="1.0"?>
<!DOCTYPE svg [<!ENTITY x SYSTEM "http://127.0.0.1/secret">]>
<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>&x;</text></svg>
"""
"""A drawing that asks a careless parser to fetch something."""


def pixel_of(image: Image.Image, at: tuple[int, int]) -> tuple[int, ...]:
    """Return the bands of a pixel of an image that has more than one."""
    bands = image.getpixel(at)
    assert isinstance(bands, tuple)
    return bands
