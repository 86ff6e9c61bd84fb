"""A shop's catalogue made by code: 25 products with 60 and more images, and a sheet with awkward but valid content.

The awkward parts are those that real sheets have: a comma inside a URL, the same URL twice, a dead link, a page that
claims to be a JPEG, a product name with comma and quotes, an extra column, URLs on several lines of one cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from samples.photos import encoded, photo

SIZES = ((1600, 1200), (1200, 1200), (1024, 768), (800, 800))
"""Sizes of the generated photos in pixels, used in turn."""

_NAMES = (
    "Desk lamp", "Oak stool", "Linen curtain", 'Cable, USB-C, "braided", 2 m', "Café table", "Wool rug", "Tea pot",
    "Wall clock", "Bookshelf", "Garden chair", "Floor mirror", "Pillow, set of 2", "Copper pan", "Knife block",
    "Bath mat", "Coat rack", "Picture frame", "Bar stool", "Plant stand", "Cutting board", "Vase", "Doormat",
    "Night stand", "Serving tray", "Bread box",
)  # fmt: skip

_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class SampleFile:
    """What the origin answers for one path."""

    content_type: str
    body: bytes
    status: int = 200


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The sheet, the files behind its links, and what must come of them.

    `expected_failures` maps (row, slot), rows counted from 1 below the header, slots from 0, to an outcome code.
    """

    sheet: bytes
    files: Mapping[str, SampleFile]
    image_count: int
    row_count: int
    expected_failures: Mapping[tuple[int, int], str]


def make_catalogue(base_url: str) -> Catalogue:
    """Return the catalogue whose links begin with `base_url` (no slash at the end)."""
    files: dict[str, SampleFile] = {
        "/broken/login.jpg": SampleFile("image/jpeg", b"<!DOCTYPE html><html><body>Please log in</body></html>"),
        "/gone/discontinued.jpg": SampleFile("text/plain", b"gone", status=404),
    }
    failures: dict[tuple[int, int], str] = {}
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["S. No.", "Product Name", "Brand", "Input Image Urls"])
    total = 0
    for row, name in enumerate(_NAMES, start=1):
        paths = []
        for shot in range(2 + row % 2):
            path, file = _shot(row, shot)
            files[path] = file
            paths.append(path)
        if row == 5:
            paths.insert(1, "/gone/discontinued.jpg")
            failures[row, 1] = "HTTP_4XX"
        if row == 9:
            paths.append("/broken/login.jpg")
            failures[row, len(paths) - 1] = "NOT_AN_IMAGE"
        if row == 12:
            paths.append(paths[0])
        separator = ",\n" if row % 5 == 0 else ", "
        writer.writerow([f"P{row:03}", name, "Sample & Sons", separator.join(base_url + path for path in paths)])
        total += len(paths)
    return Catalogue(table.getvalue().encode("utf-8-sig"), files, total, len(_NAMES), failures)


def _shot(row: int, shot: int) -> tuple[str, SampleFile]:
    """Return path and file of one picture; the kinds take turns so that each occurs several times."""
    number = row * 10 + shot
    width, height = SIZES[number % len(SIZES)]
    picture = photo(width, height, seed=number)
    if shot == 0 and row % 4 == 0:
        # The comma that breaks every naive split.
        return f"/c_fit,w_{width}/f_auto/{number}.jpg", SampleFile("image/jpeg", encoded(picture, "JPEG"))
    kinds = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP", "ALPHA", "ROTATED", "CMYK", "PALETTE")
    kind = kinds[number % len(kinds)]
    if kind == "PNG":
        return f"/png/{number}.png", SampleFile("image/png", encoded(picture.resize((800, 600)), "PNG"))
    if kind == "WEBP":
        return f"/webp/{number}.webp", SampleFile("image/webp", encoded(picture, "WEBP", quality=85))
    if kind == "ALPHA":
        small = picture.resize((640, 640)).convert("RGBA")
        small.putalpha(Image.radial_gradient("L").resize((640, 640)))
        return f"/png/{number}-alpha.png", SampleFile("image/png", encoded(small, "PNG"))
    if kind == "PALETTE":
        return f"/gif/{number}.gif", SampleFile("image/gif", encoded(picture.resize((640, 480)).quantize(64), "GIF"))
    if kind == "CMYK":
        return f"/print/{number}.jpg", SampleFile("image/jpeg", encoded(picture.convert("CMYK"), "JPEG"))
    if kind == "ROTATED":
        exif = Image.Exif()
        exif[_EXIF_ORIENTATION] = 6
        buffer = io.BytesIO()
        picture.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=92, exif=exif)
        return f"/phone/{number}.jpg", SampleFile("image/jpeg", buffer.getvalue())
    return f"/photos/{number}.jpg", SampleFile("image/jpeg", encoded(picture, "JPEG"))
