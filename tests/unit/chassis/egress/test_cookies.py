"""A cookie goes back to the host and path that it was set for, and nowhere else."""

from __future__ import annotations

import pytest

from chassis.egress.cookies import CallCookies

SET_BY = "https://shop.example/a/b/page"


def sent(cookie: str, url: str, *, set_by: str = SET_BY) -> str:
    """Return the Cookie header of a call to a URL, after an answer of `set_by` has set a cookie."""
    cookies = CallCookies()
    cookies.take(set_by, [cookie])
    return cookies.header(url).get("Cookie", "")


@pytest.mark.parametrize(
    ("cookie", "url"),
    [
        ("k=v", "https://shop.example/a/b/other"),
        ("k=v", "https://shop.example/a/b/c/d"),
        ("k=v", "http://shop.example/a/b/"),
        ("k=v; Path=/", "https://shop.example/"),
        ("k=v; Path=/", "https://shop.example"),
        ("k=v; Path=/x", "https://shop.example/x"),
        ("k=v; Path=/x", "https://shop.example/x/y"),
        ("k=v; Path=/x/", "https://shop.example/x/y"),
        ("k=v; Path=relative", "https://shop.example/a/b/c"),
        ("k=v; PATH=/; SECURE", "https://shop.example/"),
        ("k=v; Path=/; Domain=shop.example", "https://shop.example/"),
        ("k=v; Path=/; Domain=shop.example", "https://cdn.shop.example/"),
        ("k=v; Path=/; Domain=.shop.example", "https://cdn.shop.example/"),
        ("k=v; Path=/; domain = SHOP.EXAMPLE ", "https://cdn.shop.example/"),
        (" k = v ; Path=/", "https://shop.example/"),
    ],
)
def test_a_cookie_goes_to_its_host_and_path(cookie: str, url: str) -> None:
    """The path of the page that set it, unless it names one."""
    assert sent(cookie, url) == "k=v"


@pytest.mark.parametrize(
    ("cookie", "url"),
    [
        ("k=v; Path=/", "https://other.example/"),
        ("k=v; Path=/", "https://cdn.shop.example/"),
        ("k=v; Path=/", "https://evilshop.example/"),
        ("k=v; Path=/; Domain=shop.example", "https://evilshop.example/"),
        ("k=v; Path=/; Domain=shop.example", "https://shop.example.evil.example/"),
        ("k=v; Path=/; Domain=other.example", "https://other.example/"),
        ("k=v; Path=/; Domain=other.example", "https://shop.example/"),
        ("k=v; Path=/; Domain=example", "https://other.example/"),
        ("k=v; Path=/; Domain=example", "https://shop.example/"),
        ("k=v; Path=/; Domain=op.example", "https://shop.example/"),
        ("k=v; Path=/; Domain=cdn.shop.example", "https://cdn.shop.example/"),
        ("k=v; Path=/; Secure", "http://shop.example/"),
        ("k=v; Path=/x", "https://shop.example/xy"),
        ("k=v; Path=/x", "https://shop.example/"),
        ("k=v", "https://shop.example/a"),
        ("k=v", "https://shop.example/"),
    ],
)
def test_a_cookie_goes_nowhere_else(cookie: str, url: str) -> None:
    """Not to another host, not to a whole ending of names, not in the open when it is secure; no empty header does."""
    cookies = CallCookies()
    cookies.take(SET_BY, [cookie])

    assert cookies.header(url) == {}


@pytest.mark.parametrize("cookie", ["", "k", "k=", "=v", ";", "k=é", "k=a\x01b", "é=v", "k=" + "v" * 4096])
def test_what_is_no_cookie_is_left_out(cookie: str) -> None:
    """Nothing that could not stand in a header."""
    assert sent(f"{cookie}; Path=/", "https://shop.example/") == ""


def test_a_value_may_have_equals_signs() -> None:
    """The first one ends the name."""
    assert sent("k=a=b=; Path=/", "https://shop.example/") == "k=a=b="


def test_a_cookie_without_a_page_path_is_for_the_whole_host() -> None:
    """A URL may have no path."""
    assert sent("k=v", "https://shop.example/x/y", set_by="https://shop.example") == "k=v"
    assert sent("k=v", "https://shop.example/x/y", set_by="https://shop.example/page") == "k=v"


def test_cookies_are_sent_together_and_a_later_one_replaces_its_namesake() -> None:
    """By name, host and path."""
    cookies = CallCookies()
    cookies.take(SET_BY, ["a=1; Path=/", "b=2; Path=/", "a=3; Path=/x"])
    cookies.take(SET_BY, ["a=4; Path=/"])

    assert cookies.header("https://shop.example/x") == {"Cookie": "a=4; b=2; a=3"}
    assert CallCookies().header("https://shop.example/") == {}


def test_there_are_at_most_twenty() -> None:
    """An origin must not fill our memory or the next request."""
    cookies = CallCookies()
    cookies.take(SET_BY, [f"c{number}=1; Path=/" for number in range(30)])

    assert cookies.header("https://shop.example/")["Cookie"].count(";") == 19


def test_the_longest_cookie_is_kept() -> None:
    """4,096 characters with its attributes."""
    text = "k=" + "v" * (4096 - len("k=; Path=/")) + "; Path=/"

    assert (len(text), len(sent(text, "https://shop.example/"))) == (4096, 4096 - len("; Path=/"))
    assert sent(text.replace("v", "vv", 1), "https://shop.example/") == ""


@pytest.mark.parametrize("url", ["https://shop.example/", "https://www.shop.example/", "https://cdn.shop.example/"])
def test_a_host_may_set_a_cookie_for_the_domain_above_it(url: str) -> None:
    """As long as that is not a whole country."""
    assert sent("k=v; Path=/; Domain=shop.example", url, set_by="https://www.shop.example/") == "k=v"


def test_a_cookie_is_known_by_what_stands_before_its_first_equals_sign() -> None:
    """Its value may have more of them."""
    cookies = CallCookies()
    cookies.take(SET_BY, ["k=a=b", "k=c=d"])

    assert cookies.header(SET_BY) == {"Cookie": "k=c=d"}
