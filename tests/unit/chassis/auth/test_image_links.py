"""Links to private images: they open one image until their midnight, and nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from chassis.auth.image_links import ImageLinks, Opening
from chassis.clock import SystemClock

BASE = "https://reporter.example/images/"
NAME = "pictures/images/0a/0a1b.jpg"


class Stopped(SystemClock):
    """A clock that shows one moment."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment


NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def links(moment: datetime = NOON, *, secret: str = "s" * 32, days: int = 30) -> ImageLinks:
    """Return links as they are made and checked at a moment."""
    return ImageLinks(BASE, secret, days, Stopped(moment))


def parts_of(url: str | None) -> tuple[int, str]:
    """Return when a link ends and its signature."""
    query = parse_qs(urlsplit(str(url)).query)
    return int(query["expires"][0]), query["signature"][0]


def test_a_signature_needs_no_escape_in_a_link() -> None:
    """43 characters of base 64 as URLs have it, without padding, whatever they are."""
    shown = [str(links().shown(f"{BASE}pictures/{number}")) for number in range(500)]

    assert [link for link in shown if not re.search(r"[?]expires=[0-9]+&signature=[A-Za-z0-9_-]{43}$", link)] == []


def test_link_opens_for_so_many_whole_days() -> None:
    """Until the midnight after them, and not a second longer."""
    expires, signature = parts_of(links().shown(BASE + NAME))

    end = datetime.fromtimestamp(expires, UTC)
    assert end == datetime(2026, 12, 30, tzinfo=UTC)
    for moment, opening in ((end - timedelta(seconds=1), Opening.OPEN), (end, Opening.EXPIRED)):
        assert links(moment).opening(NAME, expires=expires, signature=signature) is opening


def test_links_of_a_day_are_equal() -> None:
    """What was seen once is kept by browsers and proxies under its link."""
    morning, evening = (links(NOON.replace(hour=hour)).shown(BASE + NAME) for hour in (0, 23))

    assert morning == evening


@pytest.mark.threat("T10")
def test_link_opens_nothing_else() -> None:
    """Another image, another end, another secret, no secret: the signature is of none of them."""
    expires, signature = parts_of(links().shown(BASE + NAME))

    assert links().opening(NAME, expires=expires, signature=signature) is Opening.OPEN
    assert links().opening(NAME + "x", expires=expires, signature=signature) is Opening.INVALID
    assert links().opening(NAME, expires=expires + 1, signature=signature) is Opening.INVALID
    assert links(secret="t" * 32).opening(NAME, expires=expires, signature=signature) is Opening.INVALID
    assert links(secret="").opening(NAME, expires=expires, signature=signature) is Opening.INVALID
    assert links().opening(NAME, expires=expires, signature="") is Opening.INVALID


@pytest.mark.parametrize(
    "url", [None, "https://storage.googleapis.com/pictures/a.jpg", "https://evil.example/images/a"]
)
def test_what_is_not_private_is_shown_as_it_is(url: str | None) -> None:
    """Images that have failed, and those that were stored while the bucket was public."""
    assert links().shown(url) == url
    assert links(secret="").shown(BASE + NAME) == BASE + NAME
