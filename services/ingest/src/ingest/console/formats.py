"""How the console writes numbers, bytes and durations: short for people, exact in the title. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def number(value: float) -> str:
    """Return `1,234,567`."""
    return f"{value:,}"


def byte_parts(value: int) -> tuple[str, str]:
    """Return number and unit of an amount of bytes, e.g. `("1.24", "GB")`; three digits, units of 1000."""
    size, unit = float(abs(value)), "B"
    for following in _UNITS:
        # 999.5 kB would be written as 1000 kB.
        if size < 999.5:
            break
        size, unit = size / 1000, following
    digits = 0 if unit == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{'−' if value < 0 else ''}{size:.{digits}f}", unit


def byte_text(value: int) -> str:
    """Return `1.24 GB`."""
    return " ".join(byte_parts(value))


def share(part: float, whole: float) -> float:
    """Return the part as percent of the whole, 0 of nothing."""
    return 100 * part / whole if whole else 0.0


def percent(value: float) -> str:
    """Return `62 %`, with a digit more below 10; never 100 % for less than all."""
    rounded = f"{value:.0f}" if value >= 9.95 or value == 0 else f"{value:.1f}"
    if rounded == "100" and value < 100:
        rounded = "99.9"
    return f"{rounded.replace('-', '−')} %"


def duration(seconds: float) -> str:
    """Return `42 s`, `3 min 5 s`, `2 h 4 min` or `3 d 1 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    for size, name, smaller, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"  # pragma: no cover - the loop ends above a minute


def utc(moment: datetime) -> str:
    """Return `2026-11-22 10:42:04 UTC`; the script of the page writes it in the zone of the reader."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def host(url: str) -> str:
    """Return the host of a link."""
    return url.partition("://")[2].partition("/")[0] or url


def path(url: str) -> str:
    """Return what follows the host of a link."""
    return "/" + url.partition("://")[2].partition("/")[2]


def query(values: Mapping[str, str]) -> str:
    """Return a query string of the values that are not empty."""
    return urlencode({name: value for name, value in values.items() if value})


def words(code: str) -> str:
    """Return `COMPLETED_WITH_ERRORS` as `Completed with errors`."""
    return code.replace("_", " ").capitalize()


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "byte_parts": byte_parts,
    "byte_text": byte_text,
    "percent": percent,
    "duration": duration,
    "utc": utc,
    "host": host,
    "path": path,
    "query": query,
    "words": words,
}
"""What templates know these by."""
