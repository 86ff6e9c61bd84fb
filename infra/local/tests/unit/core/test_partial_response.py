"""Selectors of partial responses."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.core.google_errors import GoogleError
from localcloud.core.partial_response import parse_selector, selected

ANSWER = {"a": {"b": 1, "c": {"d": 2, "e": 3}}, "items": [{"id": 1, "x": 2}, {"id": 3}], "token": "t"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("token", {"token": "t"}),
        ("token, a/b", {"token": "t", "a": {"b": 1}}),
        ("a/c/d", {"a": {"c": {"d": 2}}}),
        ("a(b,c/e)", {"a": {"b": 1, "c": {"e": 3}}}),
        ("items/id", {"items": [{"id": 1}, {"id": 3}]}),
        ("items(id,x),token", {"items": [{"id": 1, "x": 2}, {"id": 3}], "token": "t"}),
        ("a/*/d", {"a": {"b": 1, "c": {"d": 2}}}),
        ("*", ANSWER),
        ("nothing", {}),
    ],
)
def test_selector_keeps_what_it_names(text: str, wanted: Any) -> None:
    """Parts by slash, several by parentheses, all by an asterisk, of every item of a list."""
    assert selected(ANSWER, parse_selector(text)) == wanted


@pytest.mark.parametrize(
    "text", ["a,", ",a", "a(b", "a)b", "a//b", "/a", "a()", "a b!", "(", "a/" * 100 + "a", "a" * 3000]
)
def test_selector_that_cannot_be_read_is_refused(text: str) -> None:
    """In the words of Google's APIs."""
    with pytest.raises(GoogleError, match="Invalid field selection") as refusal:
        parse_selector(text)

    assert refusal.value.status == "INVALID_ARGUMENT"
