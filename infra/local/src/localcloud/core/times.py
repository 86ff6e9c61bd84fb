"""Times and durations as proto3 JSON writes them.

Source: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp_to_json(seconds: float) -> str:
    """Return an RFC 3339 time in UTC, `2022-07-19T12:40:07.070039Z`, with microseconds where there are any."""
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds") + "Z"


def duration_to_json(seconds: float) -> str:
    """Return seconds with 0, 3 or 6 digits after the point: `30s`, `0.100s`, `1.250001s`."""
    microseconds = round(max(0.0, seconds) * 1_000_000)
    whole, rest = divmod(microseconds, 1_000_000)
    if not rest:
        return f"{whole}s"
    return f"{whole}.{rest // 1000:03d}s" if rest % 1000 == 0 else f"{whole}.{rest:06d}s"
