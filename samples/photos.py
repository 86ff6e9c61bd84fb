"""Photo-like pictures made by code: smooth areas, edges, texture and sensor noise, so that they compress as photos do.

Everything is a function of its arguments, so two runs make the same bytes.
"""

from __future__ import annotations

import io
import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter


def photo(width: int, height: int, *, seed: int) -> Image.Image:
    """Return an RGB picture of that size, in pixels."""
    rng = random.Random(seed)
    picture = _colour_field(rng, 7, 5).resize((width, height), Image.Resampling.BICUBIC)
    _draw_product(picture, rng)
    texture = _grain(rng, max(2, width // 3), max(2, height // 3), spread=26)
    texture = texture.resize((width, height), Image.Resampling.BILINEAR)
    picture = ImageChops.add(picture, Image.merge("RGB", (texture, texture, texture)), scale=1.0, offset=-128)
    noise = _grain(rng, 256, 256, spread=9)
    return ImageChops.add(picture, Image.merge("RGB", [_tiled(noise, width, height)] * 3), scale=1.0, offset=-128)


def encoded(picture: Image.Image, kind: str, *, quality: int = 92) -> bytes:
    """Return the bytes of a picture in a Pillow format such as JPEG, PNG, WEBP or GIF."""
    buffer = io.BytesIO()
    if kind in {"JPEG", "WEBP"}:
        picture.save(buffer, kind, quality=quality)
    else:
        picture.save(buffer, kind)
    return buffer.getvalue()


def _colour_field(rng: random.Random, columns: int, rows: int) -> Image.Image:
    base = [rng.randrange(90, 220) for _ in range(3)]
    data = bytes(
        max(0, min(255, base[channel] + rng.randrange(-60, 60))) for _ in range(columns * rows) for channel in range(3)
    )
    return Image.frombytes("RGB", (columns, rows), data)


def _draw_product(picture: Image.Image, rng: random.Random) -> None:
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(18):
        x, y = rng.randrange(width), rng.randrange(height)
        size = rng.randrange(max(2, width // 20), max(3, width // 4))
        colour = tuple(rng.randrange(256) for _ in range(3))
        shape = rng.choice(("ellipse", "rectangle", "line"))
        box = (x, y, x + size, y + size * rng.uniform(0.3, 1.2))
        if shape == "line":
            draw.line(box, fill=colour, width=max(1, width // 200))
        else:
            getattr(draw, shape)(box, fill=colour)


def _grain(rng: random.Random, width: int, height: int, *, spread: int) -> Image.Image:
    raw = Image.frombytes("L", (width, height), rng.randbytes(width * height))
    soft = raw.filter(ImageFilter.GaussianBlur(0.6))
    return soft.point([max(0, min(255, 128 + (value - 128) * spread // 64)) for value in range(256)])


def _tiled(tile: Image.Image, width: int, height: int) -> Image.Image:
    whole = Image.new("L", (width, height))
    for x in range(0, width, tile.width):
        for y in range(0, height, tile.height):
            whole.paste(tile, (x, y))
    return whole
