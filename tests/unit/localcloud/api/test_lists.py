"""Filters, orders and pages of any list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.google_errors import GoogleError
from localcloud.workflows.api_lists import Collection, ListQuery, list_page
from localcloud.workflows.enums import ExecutionState


@dataclass
class Item:
    """Something with a field of every kind."""

    name: str
    size: int = 0
    state: ExecutionState = ExecutionState.ACTIVE
    labels: dict[str, str] = field(default_factory=dict)
    end: str | None = None
    flag: bool = False


ITEMS = [
    Item("a", 3, ExecutionState.SUCCEEDED, {"team": "x"}, "2024-01-01T00:00:00Z", flag=True),
    Item("b", 1, ExecutionState.FAILED, {"team": "y"}, "2024-01-02T00:00:00Z"),
    Item("c", 2, ExecutionState.ACTIVE, {"other": "x"}),
]

COLLECTION = Collection(
    default_size=2,
    maximum_size=3,
    fields={
        "name": lambda i: i.name,
        "size": lambda i: i.size,
        "state": lambda i: i.state,
        "labels": lambda i: i.labels,
        "end": lambda i: i.end,
        "flag": lambda i: i.flag,
    },
    sortable=frozenset({"name", "size", "state", "end"}),
)


def names(**query: Any) -> str:
    page, _ = list_page(ITEMS, ListQuery(page_size=3, **query), COLLECTION, key=lambda i: i.name)
    return "".join(item.name for item in page)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "abc"),
        ('name="a"', "a"),
        ("name = a", "a"),
        ("name != a", "bc"),
        ("size >= 2", "ac"),
        ("size<2", "b"),
        ("size > 1 AND size < 3", "c"),
        ("state = SUCCEEDED", "a"),
        ('state="ACTIVE"', "c"),
        ("labels.team = x", "a"),
        ("labels.team:y", "b"),
        ("labels:team", "ab"),
        ('end > "2024-01-01T12:00:00Z"', "b"),
        ("end != x", "abc"),
        ("flag = true", "a"),
        ("name:b", "b"),
    ],
)
def test_filter_selects(text: str, expected: str) -> None:
    """Each operator does what AIP-160 says."""
    assert names(filter=text) == expected


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("name = a OR name = b", "UNIMPLEMENTED"),
        ("NOT name = a", "UNIMPLEMENTED"),
        ("(name = a)", "UNIMPLEMENTED"),
        ("-name = a", "UNIMPLEMENTED"),
        ("name", "INVALID_ARGUMENT"),
        ("= a", "INVALID_ARGUMENT"),
        ("colour = red", "INVALID_ARGUMENT"),
        ("size = many", "INVALID_ARGUMENT"),
        ("labels = x", "INVALID_ARGUMENT"),
    ],
)
def test_filter_that_is_not_understood_is_refused(text: str, status: str) -> None:
    """No filter is ignored."""
    with pytest.raises(GoogleError) as caught:
        names(filter=text)

    assert caught.value.status == status


def test_words_of_the_language_inside_quotes_are_text() -> None:
    """`OR` in a string is no operator."""
    assert names(filter='name = "x OR (y)"') == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("size", "bca"), ("size desc", "acb"), ("state", "cba"), ("end desc, size", "bac"), ("name asc", "abc")],
)
def test_order_sorts(text: str, expected: str) -> None:
    """Later clauses break ties; missing values come first."""
    assert names(order_by=text) == expected


@pytest.mark.parametrize("text", ["labels", "size sideways", "colour"])
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
