"""ICC profiles made of what files say of their colours in other words: a gamma, chromaticities, code points. Pure.

With them all colours take one way to sRGB. High dynamic range is brought into that of sRGB: up to three quarters of
white nothing changes, and what is brighter shares the rest.
Sources: ICC.1:2001-04 (the form), ITU-T H.273 (code points), BT.2100 (PQ and HLG), BT.2408 (white at 203 cd/m2).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

Curve = Callable[[float], float]
"""From a coded value to light, both 0 to 1."""
Chromaticities = tuple[float, ...]
"""x and y of white, red, green and blue, in this order."""
Matrix = tuple[tuple[float, float, float], ...]

_D65 = (0.3127, 0.3290)
_SRGB = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES: dict[int, Chromaticities] = {
    1: _SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_EQUAL_CHROMATICITY = 0.002
_CURVE_POINTS = 1024
_WHITE_NITS = 203.0  # of diffuse white in HDR
_PEAK_NITS = 1000.0
_KNEE = 0.75
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


class CodedColours(NamedTuple):
    """What code points mean: a profile, or None when that is sRGB; and whether it was high dynamic range."""

    icc: bytes | None
    is_hdr: bool


def profile_from_gamma(exponent: float | None, chromaticities: Chromaticities | None, *, is_gray: bool) -> bytes | None:
    """Return a profile for light = value ** exponent (None: as sRGB); None when all of it is sRGB or makes no sense."""
    if exponent is not None and not 0.1 <= exponent <= 10:
        exponent = None
    points = None if chromaticities is None or _are_equal(chromaticities, _SRGB) else chromaticities
    if exponent is None and points is None:
        return None
    curve = _srgb_light if exponent is None else lambda value: value**exponent
    return _profile(curve, None) if is_gray else _profile(curve, points or _SRGB)


def profile_from_cicp(primaries: int, transfer: int) -> CodedColours | None:
    """Return what the code points of H.273 mean; None when we do not know them."""
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        return None
    curve = _TRANSFERS[transfer]
    if primaries == 1 and curve is _srgb_light:
        return CodedColours(None, False)
    return CodedColours(_coded_profile(primaries, transfer), curve in {_pq_light, _hlg_light})


@lru_cache(maxsize=8)
def _coded_profile(primaries: int, transfer: int) -> bytes | None:
    return _profile(_TRANSFERS[transfer], _PRIMARIES[primaries])


def _are_equal(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= _EQUAL_CHROMATICITY for a, b in zip(one, other, strict=True))


def _srgb_light(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)


def _pq_light(value: float) -> float:
    root = value ** (1 / 78.84375)
    nits = 10_000 * (max(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    return _tone_mapped(nits / _WHITE_NITS)


def _hlg_light(value: float) -> float:
    scene = value * value / 3 if value <= 0.5 else (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return _tone_mapped(scene**1.2 * _PEAK_NITS / _WHITE_NITS)


def _tone_mapped(light: float) -> float:
    """Return light in parts of white so that the peak becomes white: straight up to the knee, then ever flatter."""
    if light <= _KNEE:
        return light
    beyond = (light - _KNEE) / (1 - _KNEE)
    peak = (_PEAK_NITS / _WHITE_NITS - _KNEE) / (1 - _KNEE)
    beyond = min(beyond, peak)
    return _KNEE + (1 - _KNEE) * beyond * (1 + beyond / peak**2) / (1 + beyond)


# Browsers take the curves of BT.709, BT.601 and BT.2020 for sRGB's.
_TRANSFERS: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 13, 14, 15), _srgb_light),
    4: lambda value: value**2.2,
    5: lambda value: value**2.8,
    8: lambda value: value,
    16: _pq_light,
    18: _hlg_light,
}


def _profile(curve: Curve, chromaticities: Chromaticities | None) -> bytes | None:
    """Return the bytes of a display profile, gray without chromaticities; None when they span no space of colours."""
    steps = [round(65535 * min(max(curve(at / (_CURVE_POINTS - 1)), 0.0), 1.0)) for at in range(_CURVE_POINTS)]
    curve_tag = b"curv" + bytes(4) + struct.pack(f">I{_CURVE_POINTS}H", _CURVE_POINTS, *steps)
    tags = [
        (b"desc", b"desc" + bytes(4) + struct.pack(">I", 5) + b"made\0" + bytes(79)),
        (b"cprt", b"text" + bytes(4) + b"none" + bytes(4)),
        (b"wtpt", _xyz(_D50)),
    ]
    if chromaticities is None:
        tags.append((b"kTRC", curve_tag))
    else:
        try:
            colorants = _colorants(chromaticities)
        except ZeroDivisionError:
            return None
        tags += [(name, _xyz(value)) for name, value in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)]
        tags += [(name, curve_tag) for name in (b"rTRC", b"gTRC", b"bTRC")]
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = bytearray(128)
    struct.pack_into(">I", header, 0, at + len(body))
    struct.pack_into(">I", header, 8, 0x02400000)
    header[12:24] = b"mntr" + (b"GRAY" if chromaticities is None else b"RGB ") + b"XYZ "
    header[36:40] = b"acsp"
    header[68:80] = _fixed(_D50)
    return bytes(header) + table + body


def _xyz(value: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(value)


def _fixed(value: Sequence[float]) -> bytes:
    return struct.pack(">iii", *(max(-(1 << 31), min((1 << 31) - 1, round(part * 65536))) for part in value))


def _colorants(chromaticities: Chromaticities) -> Matrix:
    """Return XYZ of red, green and blue as seen under D50: scaled so that they add up to white, then adapted."""
    white, red, green, blue = (_tristimulus(*chromaticities[at : at + 2]) for at in range(0, 8, 2))
    columns = _transposed((red, green, blue))
    scales = _applied(_inverse(columns), white)
    cones = _applied(_BRADFORD, white)
    wanted = _applied(_BRADFORD, _D50)
    adapted = []
    for colour, scale in zip((red, green, blue), scales, strict=True):
        seen = _applied(_BRADFORD, tuple(part * scale for part in colour))
        moved = tuple(part * to / of for part, of, to in zip(seen, cones, wanted, strict=True))
        adapted.append(_applied(_inverse(_BRADFORD), moved))
    return tuple(adapted)


def _tristimulus(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _transposed(rows: Sequence[Sequence[float]]) -> Matrix:
    return tuple((rows[0][at], rows[1][at], rows[2][at]) for at in range(3))


def _applied(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return first, second, third


def _inverse(matrix: Sequence[Sequence[float]]) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return (
        ((e * i - f * h) / determinant, (c * h - b * i) / determinant, (b * f - c * e) / determinant),
        ((f * g - d * i) / determinant, (a * i - c * g) / determinant, (c * d - a * f) / determinant),
        ((d * h - e * g) / determinant, (b * g - a * h) / determinant, (a * e - b * d) / determinant),
    )
