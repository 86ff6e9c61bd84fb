"""One form of times: RFC 3339 in UTC with microseconds."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from chassis.times import Rfc3339Time, parse_rfc3339, rfc3339

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-11-22T12:00:00.123456Z"),
        (NOON.replace(microsecond=0), "2026-11-22T12:00:00.000000Z"),
        (NOON.astimezone(timezone(timedelta(hours=-9, minutes=-30))), "2026-11-22T12:00:00.123456Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_a_time_has_always_the_same_width_and_zone(moment: datetime, text: str) -> None:
    """So that texts sort as times do."""
    assert rfc3339(moment) == text


def test_no_time_is_none() -> None:
    """A column that is NULL."""
    assert rfc3339(None) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T12:00:00.123456Z",
        "2026-11-22t12:00:00.123456z",
        "2026-11-22 12:00:00.123456789Z",
        "2026-11-22T14:30:00.123456+02:30",
        "2026-11-23T04:00:00.123456+16:00",
        "2026-11-23T11:59:00.123456+23:59",
        "2026-11-21T12:01:00.123456-23:59",
    ],
)
def test_every_spelling_of_rfc_3339_is_read_in_utc(text: str) -> None:
    """PostgreSQL refuses zones of 16 hours and more; UTC it takes."""
    parsed = parse_rfc3339(text)

    assert (parsed, parsed.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-22",
        "2026-11-22T12:00:00",
        "2026-11-22T12:00Z",
        "2026-11-22T12:00:00Z\n",
        "2026-11-22T12:00:00Z\x00",
        "2026-11-22T12:00:00+02:00:30",
        "2026-11-22T12:00:00+24:00",
        "2026-11-22T12:00:00+99999999999999999999",
        "2026-11-22T12:00:00.1234567890Z",
        "2026-02-30T12:00:00Z",
        "2026-11-22T25:00:00Z",
        "٢٠٢٦-11-22T12:00:00Z",
        "2026-11-22T12:00:00." + "1" * 100_000 + "Z",
    ],
)
def test_what_is_no_time_is_a_value_error(text: str) -> None:
    """Never another exception, whatever was sent."""
    with pytest.raises(ValueError, match="must be"):
        parse_rfc3339(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_was_written_is_read_again(moment: datetime) -> None:
    """Not a microsecond is lost."""
    assert parse_rfc3339(rfc3339(moment)) == moment


@given(st.text(max_size=60))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    """A stranger's text ends in one of two ways."""
    with suppress(ValueError):
        assert parse_rfc3339(text).tzinfo is UTC


def test_a_time_beyond_the_calendar_of_utc_is_its_end() -> None:
    """`since` such a time means everything, or nothing."""
    assert rfc3339(parse_rfc3339("0001-01-01T00:00:00+01:00")) == "0001-01-01T00:00:00.000000Z"
    assert rfc3339(parse_rfc3339("9999-12-31T23:59:59-01:00")) == "9999-12-31T23:59:59.999999Z"


class _Request(BaseModel):
    model_config = ConfigDict(strict=True)

    since: Rfc3339Time


@pytest.mark.parametrize("value", [5, 1e300, None, [], {}, "now"])
def test_a_field_takes_texts_only(value: object) -> None:
    """A number could be seconds or milliseconds; that is not guessed."""
    with pytest.raises(ValidationError):
        _Request.model_validate({"since": value})


def test_a_field_is_a_date_time_in_the_document() -> None:
    """As OpenAPI names it."""
    assert _Request.model_json_schema()["properties"]["since"] == {
        "format": "date-time",
        "title": "Since",
        "type": "string",
    }
