"""Metadata taken out of a picture without touching its pixels. Pure.

Used only on bytes that have already been decoded without error. The rule is an allow-list: what is not needed to draw
the picture is dropped, also whatever follows its end (a polyglot's second half).
"""

from __future__ import annotations

from compressor.images import jpeg, png, webp
from compressor.images.exif import readable_block


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
                return jpeg.stripped(data, exif)
            case "PNG":
                return png.stripped(data, readable_block(exif))
            case "WEBP":
                return webp.stripped(data, readable_block(exif), size)
            case _:
                return None
    except IndexError:
        # A length that leads out of the file: decoders forgive it, we do not rewrite it.
        return None
