"""One list of repairs for every link that we are given; none of them changes which server is meant."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.egress.link_repairs import Repair, repair_link, repair_location


@pytest.mark.parametrize(
    ("written", "url", "repairs"),
    [
        (" http://a.example/hook ", "http://a.example/hook", (Repair.TRIMMED,)),
        ("//a.example/x", "https://a.example/x", (Repair.SCHEME,)),
        ("www.a.example/x", "https://www.a.example/x", (Repair.SCHEME,)),
        ("<https://a.example/x>", "https://a.example/x", (Repair.WRAPPED,)),
        ("https:\\/\\/a.example\\/x", "https://a.example/x", (Repair.SLASHES,)),
        ("http://a.example/x y?a=1&amp;b=2", "http://a.example/x%20y?a=1&b=2", (Repair.AMPERSAND, Repair.BLANKS)),
        ("http://a.example/50% %20x", "http://a.example/50%25%20%20x", (Repair.BLANKS, Repair.PERCENT)),
        ("http://a.example/100%", "http://a.example/100%", ()),
        ("http://a.example/a%20b,c~d", "http://a.example/a%20b,c~d", ()),
        ("http://[::1]/x", "http://[::1]/x", ()),
        ("\\/\\/a.example\\/x", "https://a.example/x", (Repair.SLASHES, Repair.SCHEME)),
        ("///a.example/x", "///a.example/x", ()),
        ("www.", "www.", ()),
        ("www.a", "https://www.a", (Repair.SCHEME,)),
        ("http:// a.example/x", "http://a.example/x", (Repair.BLANKS,)),
        ("http:// a.example/?to=http://b.example", "http://a.example/?to=http://b.example", (Repair.BLANKS,)),
        ("http://a.example/x://y z", "http://a.example/x://y%20z", (Repair.BLANKS,)),
        ("http://a.example#x y", "http://a.example#x%20y", (Repair.BLANKS,)),
        ("http://a.example?q=x y", "http://a.example?q=x%20y", (Repair.BLANKS,)),
        ("http://aX&amp;b.example", "http://aX&amp;b.example", ()),
        ("http:///x y", "http:///x%20y", (Repair.BLANKS,)),
        ("/x y", "/x%20y", (Repair.BLANKS,)),
        ("a b://c d", "a%20b://c%20d", (Repair.BLANKS,)),
        ("http://a.example/x\u200by", "http://a.example/xy", (Repair.INVISIBLE,)),
        ("\u200d \u200dhttp://a.example/x\u200d \u200d", "http://a.example/x", (Repair.TRIMMED,)),
        ("()", "()", ()),
        ("(1).jpg", "(1).jpg", ()),
        ("[::1]", "[::1]", ()),
        ("[]", "[]", ()),
    ],
)
def test_a_link_is_put_right_and_each_repair_is_named(written: str, url: str, repairs: tuple[Repair, ...]) -> None:
    """What is right already stays as it is."""
    found = repair_link(written)
    assert (found.url, found.repairs) == (url, repairs)


@pytest.mark.parametrize(
    ("wrapped", "url"),
    [
        ("(http://a.example/x)", "http://a.example/x"),
        ("( //a.example/x )", "https://a.example/x"),
        ("«www.a.example»", "https://www.a.example"),
        ("<WWW.a.example/x>", "https://WWW.a.example/x"),
        ("[/x.jpg]", "/x.jpg"),
        ("(/)", "/"),
        ("[//]", "https://"),
        ('("http://a.example/x")', "http://a.example/x"),
        ("('http://a.example/x')", "http://a.example/x"),
        ("(<http://a.example/x>)", "http://a.example/x"),
        ('"(http://a.example/x)"', "http://a.example/x"),
        ('"[http://a.example/x]"', "http://a.example/x"),
        ('"a.example/x"', '"a.example/x"'),
        ('"http://a.example/x', '"http://a.example/x'),
    ],
)
def test_what_stands_around_a_link_is_taken_off(wrapped: str, url: str) -> None:
    """Where a link is left, and only pairs."""
    assert repair_link(wrapped).url.replace("%22", '"') == url


def test_a_location_that_is_not_latin_is_encoded_as_utf_8() -> None:
    """No header carries that, but callers may hand over any text."""
    assert repair_location("/Größe/春.jpg") == "/Gr%C3%B6%C3%9Fe/%E6%98%A5.jpg"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/sub dir/my photo.jpg", "http://a.example/sub%20dir/my%20photo.jpg"),
        (" /x.jpg\u200b".encode().decode("latin-1"), "http://a.example/x.jpg%E2%80%8B"),
        ("/Größe.jpg".encode().decode("latin-1"), "http://a.example/Gr%C3%B6%C3%9Fe.jpg"),
        ("/a%20b.jpg?x=1&amp;y=2", "http://a.example/a%20b.jpg?x=1&y=2"),
        ("//b.example/x", "http://b.example/x"),
        ("http://b.example/a b", "http://b.example/a%20b"),
        ("www/x", "http://a.example/www/x"),
    ],
)
def test_a_location_is_put_right_and_may_be_relative(location: str, url: str) -> None:
    """Its bytes arrive as Latin-1, and are encoded as they were sent."""
    assert urljoin("http://a.example/old", repair_location(location)) == url


@given(st.text(alphabet="ab.:/?#@[]\\% &;\u200b\u00a0\"'<>-0x", max_size=40))
def test_a_repair_never_changes_the_host(rest: str) -> None:
    """Otherwise a link could be judged as one and asked for as another."""
    repaired = repair_link("http://a.example/" + rest).url
    assert urlsplit(repaired).netloc == "a.example"


@given(st.text(max_size=60))
def test_what_was_repaired_needs_no_repair(text: str) -> None:
    """A link that is stored is repaired again when it is uploaded again."""
    once = repair_link(text).url
    if once.startswith(("http://", "https://")):
        assert repair_link(once).url == once
