"""`time`: between Unix seconds and RFC 3339 text.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/time
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from localcloud.workflows.errors import value_error
from localcloud.workflows.functions.arguments import number_of, text_of
from localcloud.workflows.functions.signatures import Function, PureFunction, parameters
from localcloud.workflows.values import Value

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MINUTES_PER_HOUR = 60
_LEAP_SECOND = 60


def seconds_of_rfc3339(text: str) -> float:
    """Return the seconds since the Unix epoch of a text such as `2024-05-08T12:01:00.000000Z`.

    Raises:
        WorkflowError: ValueError for anything else than RFC 3339 section 5.6 with at most six fractional digits.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise value_error(f"'{text}' is not an RFC 3339 time")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction = match[7]
    microsecond = int((fraction or "").ljust(6, "0"))
    leap = 1 if second == _LEAP_SECOND else 0
    try:
        moment = datetime(year, month, day, hour, minute, second - leap, microsecond, tzinfo=_zone(match))
    except ValueError as error:
        raise value_error(f"'{text}' is not an RFC 3339 time: {error}") from None
    return (moment - _EPOCH) / timedelta(seconds=1) + leap


def _zone(match: re.Match[str]) -> timezone:
    _, sign, hours, minutes = match.groups()[7:]
    if sign is None:
        return UTC
    if int(minutes) >= _MINUTES_PER_HOUR:
        raise ValueError("offset minutes out of range")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(offset if sign == "+" else -offset)


def _parse(value: Value) -> float:
    return seconds_of_rfc3339(text_of("value", value))


def _format(seconds: Value, timezone: Value) -> str:
    number, name = number_of("seconds", seconds), text_of("timezone", timezone)
    try:
        zone = ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise value_error(f"unknown time zone '{name}'") from None
    try:
        moment = (_EPOCH + timedelta(seconds=number)).astimezone(zone)
    except (OverflowError, ValueError):
        raise value_error("time.format: seconds out of range") from None
    text = moment.isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z" if name in ("", "UTC", "GMT") else text


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("time.format", parameters("seconds", timezone="UTC"), _format),
    PureFunction("time.parse", parameters("value"), _parse),
)
