"""What stands where a link should be is put right by one list of repairs."""

from __future__ import annotations

import pytest

from chassis.egress.link_repairs import Repair, repair_link, repair_location, trimmed

LINK = "https://a.example/1"


@pytest.mark.parametrize(
    ("text", "url", "repairs"),
    [
        (LINK, LINK, ()),
        ("", "", ()),
        (f"  {LINK}\t\n", LINK, (Repair.TRIMMED,)),
        (f"\ufeff\u200d{LINK}\u200c", LINK, (Repair.TRIMMED,)),
        ("https://a.exam\u00adple/1", LINK, (Repair.INVISIBLE,)),
        (f'"{LINK}"', LINK, (Repair.WRAPPED,)),
        (f"<'{LINK}'>", LINK, (Repair.WRAPPED,)),
        (f"( {LINK} )", LINK, (Repair.WRAPPED,)),
        ("[::1]", "[::1]", ()),
        ("(1).jpg", "(1).jpg", ()),
        ("(a)", "(a)", ()),
        ('"', '"', ()),
        ("https:\\/\\/a.example\\/1", LINK, (Repair.SLASHES,)),
        ("\\/\\/a.example\\/1", LINK, (Repair.SLASHES, Repair.SCHEME)),
        ("//a.example/1", LINK, (Repair.SCHEME,)),
        ("///a.example/1", "///a.example/1", ()),
        ("www.a.example", "https://www.a.example", (Repair.SCHEME,)),
        ("WWW.a.example", "https://WWW.a.example", (Repair.SCHEME,)),
        ("www.", "www.", ()),
        (f"{LINK}?a=1&amp;b=2", f"{LINK}?a=1&b=2", (Repair.AMPERSAND,)),
        (f"{LINK}?a=1&amp;amp;b=2", f"{LINK}?a=1&b=2", (Repair.AMPERSAND,)),
        (f"{LINK}?a=1&#38;b=2&#x26;c=3", f"{LINK}?a=1&b=2&c=3", (Repair.AMPERSAND,)),
        (f"{LINK}?a=1&b=2", f"{LINK}?a=1&b=2", ()),
        ("https://a.example/My photo.jpg", "https://a.example/My%20photo.jpg", (Repair.BLANKS,)),
        ("https:// a.example/1", LINK, (Repair.BLANKS,)),
        ("https://a.example/100%.jpg", "https://a.example/100%25.jpg", (Repair.PERCENT,)),
        ("https://a.example/%41%zz", "https://a.example/%41%25zz", (Repair.PERCENT,)),
        ("https://a%.example/", "https://a%.example/", ()),
        ("https://a.example?q=a b", "https://a.example?q=a%20b", (Repair.BLANKS,)),
        ("https://a.example#a b", "https://a.example#a%20b", (Repair.BLANKS,)),
        ("a b", "a%20b", (Repair.BLANKS,)),
    ],
)
def test_a_link_is_put_right_and_it_is_told_how(text: str, url: str, repairs: tuple[Repair, ...]) -> None:
    """What is not on the list stays."""
    repaired = repair_link(text)

    assert (repaired.url, repaired.repairs) == (url, repairs)


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("/a b", "/a%20b"),
        (" https://a.example/1 ", LINK),
        ("/caf\u00e9", "/caf%E9"),
        ("/\u20ac", "/%E2%82%AC"),
        ("//b.example/x", "//b.example/x"),
        ("?a&amp;b", "?a&b"),
        ("/~\x7f", "/~\x7f"),
        ("/\x80", "/%80"),
    ],
)
def test_a_location_is_put_right(value: str, url: str) -> None:
    """It may be relative, and its bytes are kept."""
    assert repair_location(value) == url


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\u200b \u2060"])
def test_nothing_is_left_of_nothing(text: str) -> None:
    """No index runs over an end."""
    assert trimmed(text) == ""
