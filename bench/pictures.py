"""The photos that all measurements share: a few drawn ones, each repeated with a number in a JPEG comment.

The comment makes every file's bytes distinct, so that nothing is found stored already.
"""

from __future__ import annotations

from samples.photos import encoded, photo

SIZE_PX = (2048, 1536)
"""About 3 megapixels: what shops usually upload."""

TINY_PX = (48, 48)
"""An icon: what it takes is what everything around the codec takes."""

_DRAWN = 8


def photos(count: int, size_px: tuple[int, int] = SIZE_PX) -> list[bytes]:
    """Return `count` distinct JPEG files of one size and quality 92."""
    drawn = [encoded(photo(*size_px, seed=seed), "JPEG") for seed in range(_DRAWN)]
    return [_numbered(drawn[number % _DRAWN], number) for number in range(count)]


def _numbered(jpeg: bytes, number: int) -> bytes:
    comment = f"photo {number}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]
