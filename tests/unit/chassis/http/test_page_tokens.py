"""A page token is one that the same list has given, or it is refused with one reason."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import ApiError
from chassis.http.page_tokens import MAX_PAGE_TOKEN_CHARS, Position, page_token, position_of, row_number_of, slot_of

ID = UUID("6b1f2d3e-0000-4000-8000-000000000001")
LAST = Position(datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC), ID)


def encoded(content: Any) -> str:
    """Return any content in the form of a token."""
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def refused(token: str) -> set[str]:
    """Return the reasons for which both readers refuse a token."""
    reasons = set()
    for read in (position_of, row_number_of, slot_of):
        with pytest.raises(ApiError) as caught:
            read("list", token)
        assert caught.value.http_code == 400
        reasons.add(caught.value.reason)
    return reasons


@given(st.text(max_size=40), st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_position_comes_back(scope: str, time: datetime, entry: UUID) -> None:
    """To the microsecond."""
    assert position_of(scope, page_token(scope, Position(time, entry))) == Position(time, entry)


@given(st.text(max_size=40), st.integers(1, 2**31 - 1))
def test_a_row_number_comes_back(scope: str, number: int) -> None:
    """Any that a row can have."""
    assert row_number_of(scope, page_token(scope, number)) == number
    assert slot_of(scope, page_token(scope, (number, number - 1))) == (number, number - 1)


def test_no_token_is_the_first_page() -> None:
    """A list is read from its beginning without one."""
    assert (position_of("list", ""), row_number_of("list", "")) == (None, 0)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "!!!",
        "\x00",
        page_token("list", LAST) + "\x00",
        page_token("list", LAST) + "\n",
        page_token("list", LAST) + "=",
        page_token("list", LAST) + "ab",
        "ü",
        "W10",
        encoded("{}"),
        encoded("5"),
        encoded("[" * 700),
        encoded(["list"]),
        encoded(["list", 0]),
        encoded(["list", -1]),
        encoded(["list", 2**31]),
        encoded(["list", True]),
        encoded(["list", 1.0]),
        encoded('["list",1e5]'),
        encoded('["list", 5]'),
        encoded('["list",' + "9" * 500 + "]"),
        encoded(["list", "now", str(ID)]),
        encoded(["list", "2026-11-22T12:00:00.000005+16:00", str(ID)]),
        encoded(["list", "2026-11-22T12:00:00.000005+00:00:30", str(ID)]),
        encoded(["list", "2026-11-22T12:00:00.000005+00:00", str(ID)]),
        encoded(["list", "2026-11-22T12:00:00Z", str(ID)]),
        encoded(["list", "0001-01-01T00:00:00.000000+23:59", str(ID)]),
        encoded(["list", "2026-11-22T12:00:00.000005Z", str(ID) + "\n"]),
        encoded(["list", "2026-11-22T12:00:00.000005Z", "{" + str(ID) + "}"]),
        encoded(["list", "2026-11-22T12:00:00.000005Z", str(ID).upper()]),
        encoded(["list", "2026-11-22T12:00:00.000005Z", ""]),
        encoded(["list\x00", 5]),
        encoded('["\\ud800",5]'),
        page_token("another list", LAST),
        page_token("another list", 5),
        "x" * (MAX_PAGE_TOKEN_CHARS + 1),
        "x" * 1_000_000,
    ],
)
def test_what_is_not_ours_is_refused_with_one_reason(token: str) -> None:
    """No zone, number or id reaches PostgreSQL that this module would not have written."""
    assert refused(token) == {"PAGE_TOKEN_INVALID"}


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=6).map(encoded)))
def test_any_other_text_is_refused_or_the_first_page(token: str) -> None:
    """Whatever a stranger sends."""
    if token:
        assert refused(token) == {"PAGE_TOKEN_INVALID"}


def test_a_long_token_is_told_the_limit_and_its_length() -> None:
    """Like everything else that is over a limit."""
    with pytest.raises(ApiError) as caught:
        position_of("list", "x" * 1001)

    assert caught.value.metadata == {"limit_name": "max_page_token_characters", "limit": "1000", "value": "1001"}


def test_a_token_of_one_kind_is_none_of_the_other() -> None:
    """A list is ordered by time and id, or by row numbers."""
    with pytest.raises(ApiError):
        position_of("list", page_token("list", 5))
    with pytest.raises(ApiError):
        row_number_of("list", page_token("list", Position(LAST.time, uuid4())))
    with pytest.raises(ApiError):
        slot_of("list", page_token("list", 7))
