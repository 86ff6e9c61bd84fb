"""The flattened picture of a Photoshop file: layers and other programs' resources are dropped.

Source: https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/.
"""

from __future__ import annotations

from collections.abc import Iterator

from compressor.images.model import CodecError, OutcomeCode
from compressor.images.source import Source

_HEADER_BYTES = 26
_VERSION_INFO, _PROFILE = 1057, 1039
_MODES = {0: "1 bit", 1: "gray", 2: "palette", 3: "RGB", 4: "CMYK", 9: "Lab"}


def readable(data: bytes) -> Source:
    """Return what a decoder needs of a PSD.

    Raises:
        CodecError: UNSUPPORTED_FORMAT, other colours or depths, or layers without a flattened picture.
        IndexError: it is cut off before its pixels.
    """
    bits, mode = int.from_bytes(data[22:24], "big"), int.from_bytes(data[24:26], "big")
    if mode not in _MODES or bits != (1 if mode == 0 else 8):
        raise _unsupported(f"of {bits} bits" if mode in _MODES else "of these colours", "save it with 8 bits, in RGB")
    palette, at = _part(data, _HEADER_BYTES)
    resources, at = _part(data, at)
    _, at = _part(data, at)
    source = Source("PSD", data[:_HEADER_BYTES] + _with_length(palette) + bytes(8) + data[at:])
    for number, content in _resources(resources):
        if number == _VERSION_INFO and content[4:5] == b"\0":
            raise _unsupported("of layers only", "save it with maximum compatibility")
        if number == _PROFILE:
            source.profile = content
    return source


def _part(data: bytes, at: int) -> tuple[bytes, int]:
    """Return a part that is preceded by its length, and where the next one begins."""
    end = at + 4 + int.from_bytes(data[at : at + 4], "big")
    if end > len(data):
        raise IndexError
    return data[at + 4 : end], end


def _with_length(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield numbers and contents; a name of even length, itself counted, stands between."""
    at = 0
    while at + 12 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        begin = at + 6 + (data[at + 6] + 2) // 2 * 2
        size = int.from_bytes(data[begin : begin + 4], "big")
        yield number, data[begin + 4 : begin + 4 + size]
        at = begin + 4 + size + size % 2


def _unsupported(layout: str, hint: str) -> CodecError:
    return CodecError(OutcomeCode.UNSUPPORTED_FORMAT, f"Photoshop (PSD) {layout} is not supported: {hint}")
