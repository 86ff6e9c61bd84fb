"""The one form of times in every answer, event and token: RFC 3339 in UTC with microseconds.

Source: https://www.rfc-editor.org/rfc/rfc3339#section-5.6. The width is fixed, so that texts sort as the times do, and
it is as fine as PostgreSQL keeps times, so that a time that was read can be given back and means the same row.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, overload

from pydantic import BeforeValidator, WithJsonSchema

from chassis.limited import Limited

MAX_TIME_CHARS: Annotated[
    int,
    Limited(
        "characters",
        "400 `FIELD_INVALID`",
        "Longest text that is read as a time",
        name="max_time_characters",
        internal=True,
    ),
] = 40
"""Longest text that is looked at; RFC 3339 with nanoseconds and a zone has 35."""

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


@overload
def rfc3339(moment: datetime) -> str: ...
@overload
def rfc3339(moment: None) -> None: ...
@overload
def rfc3339(moment: datetime | None) -> str | None: ...
def rfc3339(moment: datetime | None) -> str | None:
    """Return an aware time as e.g. `2026-11-22T10:42:04.123456Z`, and None for no time."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Return the time in UTC; digits beyond microseconds are cut off.

    A zone may be anything that RFC 3339 has (up to 23:59 from UTC). PostgreSQL takes less than 16 hours, which does
    not matter, because what is returned has no other zone than UTC.

    A time that UTC would put before the year 1 or after the year 9999 is the first or the last one there is.

    Raises:
        ValueError: the text is no RFC 3339 time, has no zone, or names a day that does not exist.
    """
    match = _RFC3339.fullmatch(text) if len(text) <= MAX_TIME_CHARS else None
    if match is None:
        raise ValueError("must be an RFC 3339 time with a zone, such as 2026-11-22T10:42:04Z")
    day, clock, fraction, zone = match.groups()
    written = f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{'+00:00' if zone in 'Zz' else zone}"
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as error:
        raise ValueError("must be a time that exists, in the years 1 to 9999") from error
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if moment.year == 1 else datetime.max.replace(tzinfo=UTC)


def _given_time(value: object) -> datetime:
    if isinstance(value, str):
        return parse_rfc3339(value)
    raise ValueError("must be a text: an RFC 3339 time with a zone")


Rfc3339Time = Annotated[
    datetime, BeforeValidator(_given_time), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A field of a request that holds a time; the value is in UTC."""
