"""Filters, orders and pages of any list."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.core.google_errors import GoogleError
from localcloud.core.list_fields import Choice, Duration, Field, Flag, Labels, Number, Texts, Time
from localcloud.workflows.api.lists import Collection, ListQuery, list_page
from localcloud.workflows.enums import ExecutionState


@dataclass
class Item:
    """Something with a field of every kind."""

    name: str
    size: int = 0
    state: ExecutionState = ExecutionState.ACTIVE
    labels: dict[str, str] = field(default_factory=dict)
    end: float | None = None
    flag: bool = False
    steps: list[str] = field(default_factory=list)


JANUARY_1 = 1_704_067_200.0
ITEMS = [
    Item("a", 3, ExecutionState.SUCCEEDED, {"team": "x"}, JANUARY_1, flag=True, steps=["p", "q"]),
    Item("b", 1, ExecutionState.FAILED, {"team": "y"}, JANUARY_1 + 86_400.25),
    Item("c", 2, ExecutionState.ACTIVE, {"other": "x"}),
]

COLLECTION = Collection(
    default_size=2,
    maximum_size=3,
    fields={
        "name": Field(lambda i: i.name),
        "size": Field(lambda i: i.size, Number()),
        "length": Field(lambda i: float(i.size), Duration()),
        "state": Field(lambda i: i.state, Choice(ExecutionState)),
        "labels": Field(lambda i: i.labels, Labels()),
        "endTime": Field(lambda i: i.end, Time()),
        "flag": Field(lambda i: i.flag, Flag()),
        "stepName": Field(lambda i: i.steps, Texts()),
    },
    sortable=frozenset({"name", "size", "state", "endTime"}),
)


def names(**query: Any) -> str:
    page, _ = list_page(ITEMS, ListQuery(page_size=3, **query), COLLECTION, key=lambda i: i.name)
    return "".join(item.name for item in page)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "abc"),
        ('name="a"', "a"),
        ("name='a'", "a"),
        ("name = a", "a"),
        ("name != a", "bc"),
        ("name:b", "b"),
        ('name = "*"', "abc"),
        ("name >= b", "bc"),
        ("size >= 2", "ac"),
        ("size<2", "b"),
        ("size:3", "a"),
        ("size > 1 AND size < 3", "c"),
        ("size > 1 size < 3", "c"),
        ("length > 1.5s", "ac"),
        ("state = SUCCEEDED", "a"),
        ('state="ACTIVE"', "c"),
        ("state != ACTIVE", "ab"),
        ("labels.team = x", "a"),
        ("labels.team:y", "b"),
        ("labels.team:*", "ab"),
        ('labels."team" = y', "b"),
        ("labels:team", "ab"),
        ("labels:*", "abc"),
        ('endTime > "2024-01-01T12:00:00Z"', "b"),
        ("endTime > 2024-01-02", "b"),
        ("endTime = 2024-01-02T00:00:00.25Z", "b"),
        ("endTime <= 2024-01-01T01:00:00+01:00", "a"),
        ("endTime != 2024-01-01T00:00:00Z", "bc"),
        ("endTime:*", "ab"),
        ("end_time:*", "ab"),
        ("flag = true", "a"),
        ("flag != true", "bc"),
        ("stepName = q", "a"),
        ("stepName != q", "bc"),
    ],
)
def test_comparison_selects(text: str, expected: str) -> None:
    """Each operator does what AIP-160 says of the field's type."""
    assert names(filter=text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = a OR name = b", "ab"),
        ("NOT name = a", "bc"),
        ("-name = a", "bc"),
        ("(name = a)", "a"),
        ("NOT (name = a OR name = b)", "c"),
        ("size > 1 AND name = b OR name = c", "c"),
        ("(size > 1 AND name = a) OR name = b", "ab"),
        ("name = a OR name = b AND size = 1", "b"),
        ('name = "x OR (y)"', ""),
        (r'name = "a\"b"', ""),
    ],
)
def test_words_join_comparisons(text: str, expected: str) -> None:
    """OR binds tighter than AND; inside quotes words and parentheses are text."""
    assert names(filter=text) == expected


@pytest.mark.parametrize(
    ("text", "character", "reason"),
    [
        ("name", 5, "an operator is wanted"),
        ("= a", 1, "a field is wanted"),
        ("name =", 7, "a value is wanted"),
        ("name = a AND", 13, "a field is wanted"),
        ("name = a OR AND", 13, "a field is wanted before AND"),
        ("name = a OR colour = red", 13, "there is no field 'colour'; fields are endTime, flag"),
        ("(name = a", 10, "a closing parenthesis is missing"),
        ("name = a)", 9, "a parenthesis was not opened"),
        ('name = "a', 8, "a closing quote is missing"),
        ("size = many", 1, "a number is wanted, not 'many'"),
        ("endTime > yesterday", 1, "a time such as"),
        ("flag = yes", 1, "true or false is wanted"),
        ("flag > true", 1, "it is not ordered"),
        ("state = GONE", 1, "'GONE' is none of"),
        ("state > ACTIVE", 1, "it is not ordered"),
        ("labels = x", 1, "name a key of the map"),
        ("name.first = x", 1, "only a map has parts"),
        ("name = (a OR b)", 8, "a value in parentheses is not supported"),
        ("size(a) = 1", 1, "functions are not supported"),
        ("(" * 51 + "name = a", 51, "parentheses nest deeper than 50"),
    ],
)
def test_filter_that_is_not_understood_is_refused_with_its_place(text: str, character: int, reason: str) -> None:
    """No filter is ignored, not even when there is nothing to filter."""
    with pytest.raises(GoogleError) as caught:
        list_page([], ListQuery(filter=text), COLLECTION, key=str)

    assert caught.value.status == "INVALID_ARGUMENT"
    assert caught.value.message.startswith(f"Invalid filter at character {character}: ")
    assert reason in caught.value.message


@given(st.text(alphabet="ab()-.:=<>!*\"' ANDORT1n", max_size=30))
def test_any_filter_is_read_or_refused(text: str) -> None:
    """The parser neither crashes nor hangs."""
    with contextlib.suppress(GoogleError):
        names(filter=text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size", "bca"),
        ("size desc", "acb"),
        ("state", "cba"),
        ("endTime desc, size", "bac"),
        ("end_time", "cab"),
        ("name asc", "abc"),
    ],
)
def test_order_sorts(text: str, expected: str) -> None:
    """Later clauses break ties; missing values come first."""
    assert names(order_by=text) == expected


@pytest.mark.parametrize("text", ["labels", "size sideways", "colour", "size,,name", "size desc desc"])
def test_order_that_is_not_understood_is_refused(text: str) -> None:
    """Only sortable fields, ascending or descending."""
    with pytest.raises(GoogleError, match="order_by"):
        names(order_by=text)


def test_pages_go_on_where_the_last_ended() -> None:
    """The default size applies without one, and the last page has no token."""
    first, token = list_page(ITEMS, ListQuery(), COLLECTION, key=lambda i: i.name)
    second, end = list_page(ITEMS, ListQuery(page_token=token), COLLECTION, key=lambda i: i.name)

    assert ([i.name for i in first], [i.name for i in second], end) == (["a", "b"], ["c"], "")


def test_page_size_is_coerced_to_the_maximum() -> None:
    """A larger size is no error."""
    page, _ = list_page(ITEMS * 2, ListQuery(page_size=99), COLLECTION, key=lambda i: i.name)

    assert len(page) == 3


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (ListQuery(page_size=-1), "page_size must not be negative"),
        (ListQuery(page_token="%%%"), "not one of this server"),
        (ListQuery(page_token="WyJhIiwgIjEyMzQ1Njc4Il0="), "another filter or order"),
    ],
    ids=["negative size", "garbage", "other query"],
)
def test_bad_page_request_is_refused(query: ListQuery, message: str) -> None:
    """Tokens are checked."""
    with pytest.raises(GoogleError, match=message):
        list_page(ITEMS, query, COLLECTION, key=lambda i: i.name)


def test_page_token_of_a_vanished_item_has_expired() -> None:
    """A list that lost the item says so instead of starting again."""
    _, token = list_page(ITEMS, ListQuery(page_size=1), COLLECTION, key=lambda i: i.name)

    with pytest.raises(GoogleError, match="has expired"):
        list_page(ITEMS[1:], ListQuery(page_token=token), COLLECTION, key=lambda i: i.name)
