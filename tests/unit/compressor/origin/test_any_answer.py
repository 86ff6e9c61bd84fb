"""Nothing that an origin can say ends without an outcome: random and hostile answers, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressPolicy
from compressor.images.model import FetchError, OutcomeCode
from compressor.origin.fetch import Fetched, ImageFetcher
from compressor.settings import RobotsPolicy
from support import pictures
from support.compressor_service import RecordingIngest, Service, task
from support.scripted_origin import ScriptedOrigin, answer, raw

PICTURE = pictures.photo_jpeg(32, 24)

NUMBERS = st.sampled_from(["0", "-1", "5", "1e9", "٣", "²", "9" * 20, "9" * 400, "+5", "5, 5", "0x10", "NaN", "inf"])
ZONES = st.sampled_from(
    ["GMT", "", "+0000", "-2400", "+9999", "+99999999999999999999", "-99999999999999999999", "EST", "\x00", "+"]
)
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sun", "", "Xxx"]),
    NUMBERS,
    st.sampled_from(["Nov", "Foo", "13"]),
    st.sampled_from(["2026", "0", "99999", "-1", "1"]),
    NUMBERS,
    st.sampled_from(["00", "99", "-5"]),
    st.sampled_from(["00", "61", ""]),
    ZONES,
)
ODD_TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
VALUES = NUMBERS | DATES | ODD_TEXT
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("Retry-After", "Content-Length", "Content-Range", "Content-Encoding", "Transfer-Encoding"),
                *("X-Robots-Tag", "Location", "Set-Cookie", "Content-Type", "Connection", "Date", "", " ", "X\x00Y"),
            ]
        ),
        VALUES | st.sampled_from(["chunked", "gzip", "deflate", "br", "gzip, gzip", "bytes 0-9/*", "//", "/next", "?"]),
    ),
    max_size=6,
)
STATUS_LINES = st.builds(
    "{} {} {}".format,
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2", "HTTP/9.9", "ICY", ""]),
    st.integers(-1, 1200) | st.sampled_from([200, 202, 206, 301, 302, 429, 503, "٢٠٠", "2 0 0"]),
    ODD_TEXT,
)
BODIES = st.binary(max_size=60) | st.just(PICTURE)
ANSWERS = st.builds(
    lambda status, headers, body: (
        "\r\n".join([status, *(f"{name}: {value}" for name, value in headers)]).encode("utf-8", "replace")
        + b"\r\n\r\n"
        + body
    ),
    STATUS_LINES,
    HEADERS,
    BODIES,
) | st.binary(max_size=200)


@pytest.fixture(scope="module")
def any_origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as origin:
        yield origin


@pytest.fixture(scope="module")
def any_fetcher() -> ImageFetcher:
    policy = EgressPolicy(
        allowed_networks=parse_networks(("127.0.0.0/8",)),
        ports=frozenset(),  # nothing but the origin, wherever a random Location leads
        read_timeout_s=2,
        total_timeout_s=2,
        max_body_bytes=100_000,
    )
    return ImageFetcher(
        Egress(policy, user_agent="test/1", clock=SystemClock()), SystemClock(), robots=RobotsPolicy.SKIP
    )


@settings(max_examples=250, deadline=None)
@given(data=ANSWERS)
def test_whatever_an_origin_says_is_bytes_or_a_fetch_error(
    any_fetcher: ImageFetcher, any_origin: ScriptedOrigin, data: bytes
) -> None:
    """Each of them foreseen: this calls what the guard for the unforeseen stands around."""
    any_origin.on("/", raw(data))
    try:
        result: Fetched | FetchError = any_fetcher._fetched(any_origin.url("/"), {"If-None-Match": '"a"'})
    except FetchError as error:
        result = error

    if isinstance(result, FetchError):
        assert len(result.detail) < 200
        assert result.retry_after_s is None or 0 < result.retry_after_s <= 3600


def test_what_nobody_thought_of_is_an_outcome_too() -> None:
    """An egress that breaks its promise: transient, with no word of the error's own."""

    class Broken(Egress):
        def request(self, *arguments: object, **named: object) -> NoReturn:  # noqa: ARG002
            raise RuntimeError("secret")

    broken = Broken(EgressPolicy(), user_agent="test/1", clock=SystemClock())
    with pytest.raises(FetchError) as caught:
        ImageFetcher(broken, SystemClock()).fetch("http://shop.example/a.jpg")

    assert (caught.value.code, caught.value.transient) == (OutcomeCode.INCOMPLETE, True)
    assert "secret" not in caught.value.detail


@settings(max_examples=300, deadline=None)
@given(value=VALUES | st.builds("{} {}".format, DATES, ODD_TEXT))
def test_any_retry_after_is_a_number_of_seconds_or_absent(any_fetcher: ImageFetcher, value: str) -> None:
    """Between nothing and an hour, whatever its text."""
    seconds = any_fetcher._retry_after({"Retry-After": value})

    assert seconds is None or 0 < seconds <= 3600


HOSTILE = {
    "a zone that overflows": answer(
        status=503, headers=[("Retry-After", "Sun, 06 Nov 2094 08:49:37 +99999999999999999999")]
    ),
    "a year that overflows": answer(status=429, headers=[("Retry-After", "Sun, 06 Nov 99999 08:49:37 GMT")]),
    "a day that is none": answer(status=503, headers=[("Retry-After", "Sun, 99 Nov 2026 08:49:37 GMT")]),
    "400 digits": answer(status=503, headers=[("Retry-After", "9" * 400)]),
    "a superscript": raw("HTTP/1.1 503 No\r\nRetry-After: ²\r\n\r\n".encode()),
    "a status of four digits": raw(b"HTTP/1.1 2000 OK\r\n\r\nx"),
    "no status": raw(b"HTTP/1.1\r\n\r\n"),
    "another protocol": raw(b"ICY 200 OK\r\n\r\nx"),
    "a chunk of negative size": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n"),
    "a chunk of huge size": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 400 + b"\r\n"),
    "an unknown encoding": answer(b"x", headers=[("Content-Encoding", "br;q=\xff")]),
    "a length of 5,000 digits": raw(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    "a location that is none": answer(status=302, headers=[("Location", "http://[::1")]),
    "a location with a zero": answer(status=302, headers=[("Location", "http://a\x00b/")]),
    "NUL everywhere": raw(bytes(400)),
    "a robots tag of colons": answer(b"x", headers=[("X-Robots-Tag", ":" * 50_000)]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_has_a_recorded_outcome(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest, name: str
) -> None:
    """End to end: 200 for the task and one outcome with ingest, so that nothing is asked for again without end."""
    response = service.post(task(origin.on("/a.jpg", HOSTILE[name])))

    assert response.status_code == 200, response.text
    assert [outcome["outcome"] for outcome in ingest.outcomes] == ["FAILED"]
