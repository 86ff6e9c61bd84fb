"""Everything an origin may do, and the code an image ends with; real sockets, short time-outs."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressPolicy
from compressor.images.model import FetchError, Note, OutcomeCode
from compressor.origin.fetch import Fetched, ImageFetcher
from compressor.origin.robots import refusal
from compressor.settings import RobotsPolicy
from support import pictures
from support.scripted_origin import (
    Exchange,
    Script,
    ScriptedOrigin,
    answer,
    drip,
    endless,
    head,
    raw,
    redirect,
    reset,
    silent,
)

LIMIT_BYTES = 200_000
TOTAL_S = 0.6


@pytest.fixture
def policy_of_origin() -> EgressPolicy:
    return EgressPolicy(
        allowed_networks=parse_networks(("127.0.0.0/8",)),
        max_redirects=3,
        connect_timeout_s=0.3,
        read_timeout_s=0.3,
        total_timeout_s=TOTAL_S,
        max_body_bytes=LIMIT_BYTES,
    )


@pytest.fixture
def fetcher(policy_of_origin: EgressPolicy) -> ImageFetcher:
    return ImageFetcher(Egress(policy_of_origin, user_agent="Pressroom-test/1", clock=SystemClock()), SystemClock())


def failure(fetcher: ImageFetcher, url: str) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(url)
    return caught.value


def eightfold() -> bytes:
    """Return a picture in eight envelopes."""
    body = PICTURE
    for _ in range(8):
        body = gzip.compress(body)
    return body


PICTURE = pictures.photo_jpeg(64, 48)
OK = head(200, [("Content-Type", "image/jpeg")])


@pytest.mark.feature("15", "42")
@pytest.mark.fault("D1", "D2", "D3", "D4", "D5", "D7", "D9", "D11", "D12", "D17", "G10")
@pytest.mark.parametrize(
    ("script", "code", "transient"),
    [
        (answer(status=404), OutcomeCode.HTTP_4XX, False),
        (answer(status=410), OutcomeCode.HTTP_4XX, False),
        (answer(status=401), OutcomeCode.HTTP_4XX, False),
        (answer(status=403), OutcomeCode.HTTP_4XX, False),
        (answer(status=408), OutcomeCode.HTTP_4XX, True),
        (answer(status=425), OutcomeCode.HTTP_4XX, True),
        (answer(status=429), OutcomeCode.RATE_LIMITED, True),
        (answer(status=304), OutcomeCode.HTTP_4XX, False),
        (answer(status=500), OutcomeCode.HTTP_5XX, True),
        (answer(status=503), OutcomeCode.HTTP_5XX, True),
        (answer(b"", status=200), OutcomeCode.NOT_AN_IMAGE, False),
        (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), OutcomeCode.NOT_AN_IMAGE, False),
        (answer(b"x" * 9, status=206, headers=[("Content-Range", "bytes 0-8/99")]), OutcomeCode.INCOMPLETE, True),
        (answer(b"x" * 9, status=206), OutcomeCode.INCOMPLETE, True),
        (silent(), OutcomeCode.TIMEOUT, True),
        (drip(OK, b"x"), OutcomeCode.TIMEOUT, True),
        (drip(b"HTTP/1.1 200 OK\r\n", b"X-Header: 1\r\n"), OutcomeCode.TIMEOUT, True),
        (endless(OK, b"x" * 65536), OutcomeCode.TOO_LARGE, False),
        (raw(head(200, [("Content-Length", str(LIMIT_BYTES + 1))])), OutcomeCode.TOO_LARGE, False),
        (raw(head(200, [("Content-Length", "1000")]) + b"x" * 10), OutcomeCode.INCOMPLETE, True),
        (raw(head(200, [("Transfer-Encoding", "chunked")]) + b"5\r\nabc"), OutcomeCode.INCOMPLETE, True),
        (raw(b""), OutcomeCode.INCOMPLETE, True),
        (reset(), OutcomeCode.INCOMPLETE, True),
        (reset(head(200, [("Content-Length", "1000")]) + b"x" * 10), OutcomeCode.INCOMPLETE, True),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), OutcomeCode.INCOMPLETE, True),
        (raw(head(200, [(f"X-{at}", "1") for at in range(1100)])), OutcomeCode.TOO_LARGE, False),
        (raw(head(200, [("X-Long", "x" * 70_000)])), OutcomeCode.TOO_LARGE, False),
        (raw(head(200, [(f"X-{at}", "x" * 60_000) for at in range(5)])), OutcomeCode.TOO_LARGE, False),
        (
            answer(gzip.compress(bytes(40_000_000)), headers=[("Content-Encoding", "gzip")]),
            OutcomeCode.TOO_LARGE,
            False,
        ),
        (answer(b"no gzip", headers=[("Content-Encoding", "gzip")]), OutcomeCode.INCOMPLETE, True),
        (answer(eightfold(), headers=[("Content-Encoding", ", ".join(["gzip"] * 8))]), OutcomeCode.TOO_LARGE, False),
        (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), OutcomeCode.TOO_LARGE, False),
        (drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), OutcomeCode.TIMEOUT, True),
        (answer(b"wait", status=202, headers=[("Retry-After", "9")]), OutcomeCode.INCOMPLETE, True),
        (answer(b"", status=202), OutcomeCode.INCOMPLETE, True),
        (raw(b"an answer of HTTP/0.9"), OutcomeCode.INCOMPLETE, True),
        (redirect("http://127.0.0.1:1/"), OutcomeCode.CONNECT_FAILED, True),
        (redirect("http://10.0.0.1/"), OutcomeCode.URL_FORBIDDEN, False),
        (redirect("http://169.254.169.254/"), OutcomeCode.URL_FORBIDDEN, False),
        (redirect("http://user:pw@127.0.0.1/"), OutcomeCode.URL_FORBIDDEN, False),
        (redirect("file:///etc/passwd"), OutcomeCode.URL_INVALID, False),
        (redirect("ftp://127.0.0.1/a.jpg"), OutcomeCode.URL_INVALID, False),
        (redirect("http://93.184.216.34:22/"), OutcomeCode.URL_FORBIDDEN, False),
        (redirect("/again"), OutcomeCode.REDIRECT_LIMIT, False),
    ],
    ids=[
        *("404", "410", "401", "403", "408", "425", "429", "304", "500", "503", "empty", "204", "206 part"),
        *("206 without range", "silent", "body drips", "headers drip", "endless", "declared too large"),
        *("shorter than declared", "chunk cut off", "closes at once", "RST", "RST in the body", "not HTTP"),
        *(
            "1,100 headers",
            "70 kB header",
            "300 kB of headers",
            "gzip bomb",
            "not gzip",
            "8 x gzip",
            "endless 100",
            "103 drips",
            "202 later",
            "202 empty",
            "HTTP/0.9",
        ),
        *("to a closed port", "to a private address", "to the metadata server", "to user info", "to a file"),
        *("to ftp", "to another port", "redirect loop"),
    ],
)
def test_whatever_an_origin_does_has_a_code(
    fetcher: ImageFetcher, origin: ScriptedOrigin, script: Script, code: OutcomeCode, transient: bool
) -> None:
    """Code and transience for each behaviour; never later than the total deadline (and half a second)."""
    begun = time.monotonic()
    error = failure(fetcher, origin.on("/", script))

    assert (error.code, error.transient) == (code, transient)
    assert time.monotonic() - begun < TOTAL_S + 0.5
    assert "127.0.0.1" not in error.detail


@pytest.mark.fault("D16", "D17")
@pytest.mark.parametrize(
    "script",
    [
        answer(PICTURE),
        answer(PICTURE, headers=[("Content-Type", "text/html")]),
        raw(OK + PICTURE),
        answer(gzip.compress(PICTURE), headers=[("Content-Encoding", "gzip")]),
        answer(PICTURE, status=206, headers=[("Content-Range", f"bytes 0-{len(PICTURE) - 1}/{len(PICTURE)}")]),
        answer(PICTURE, status=203),
        answer(PICTURE, status=202, headers=[("Retry-After", "9")]),
        raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" + OK + PICTURE),
        raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK + PICTURE),
        raw(b"HTTP/1.1 199 Odd\r\nX: 1\r\n\r\n" * 3 + OK + PICTURE),
        answer(PICTURE, headers=[(f"X-Header-{at}", "value") for at in range(700)]),
        answer(PICTURE, headers=[("X-Long", "x" * 60_000)]),
    ],
    ids=[
        *("plain", "wrong type", "without length", "gzip", "206 whole", "203", "202 with the picture"),
        *("103 before it", "100 and 102 before it", "an odd 1xx three times", "700 headers", "a header of 60 kB"),
    ],
)
def test_an_image_arrives_whole(fetcher: ImageFetcher, origin: ScriptedOrigin, script: Script) -> None:
    """The bytes are those of the picture, whatever wraps them."""
    assert fetcher.fetch(origin.on("/", script)).body == PICTURE


@pytest.mark.fault("D11")
def test_redirects_are_followed_up_to_the_limit(fetcher: ImageFetcher, origin: ScriptedOrigin) -> None:
    """Three hops, relative and absolute, end at the picture."""
    origin.on("/a", redirect("/b", status=301))
    origin.on("/b", redirect(origin.url("/c"), status=307, body=b"moved"))
    origin.on("/c", redirect(f"//127.0.0.1:{origin.port}/d", status=308))
    origin.on("/d", answer(PICTURE))

    assert fetcher.fetch(origin.url("/a")).body == PICTURE


@pytest.mark.feature("44")
@pytest.mark.fault("D12")
@pytest.mark.threat("T1")
def test_a_redirect_to_a_forbidden_listener_is_never_dialled(origin: ScriptedOrigin) -> None:
    """Only the first origin's own address is allowed: the second on 127.0.0.2 sees no connection."""
    policy = EgressPolicy(allowed_networks=parse_networks(("127.0.0.1/32",)))
    fetcher = ImageFetcher(Egress(policy, user_agent="test", clock=SystemClock()), SystemClock())
    with socket.create_server(("127.0.0.2", 0)) as inner:
        inner.settimeout(0.05)
        error = failure(fetcher, origin.on("/", redirect(f"http://127.0.0.2:{inner.getsockname()[1]}/")))

        assert error.code is OutcomeCode.URL_FORBIDDEN
        with pytest.raises(TimeoutError):
            inner.accept()


@pytest.mark.parametrize(
    ("location", "repaired"),
    [("/b.jpg?w=1&h=2", False), ("/b.jpg?w=1&amp;h=2", True), ("/my b.jpg", True), ("/caf%C3%A9.jpg", False)],
)
def test_a_repaired_redirect_is_told(
    fetcher: ImageFetcher, origin: ScriptedOrigin, location: str, repaired: bool
) -> None:
    """Where the picture was asked for is not what the origin wrote; its owner should know."""
    for path in ("/b.jpg", "/b.jpg?w=1&h=2", "/my%20b.jpg", "/caf%C3%A9.jpg"):
        origin.on(path, answer(PICTURE))
    start = origin.on("/a.jpg", redirect(location))

    assert (Note.REDIRECT_REPAIRED in fetcher.fetch(start).notes) is repaired


@pytest.mark.fault("D10")
def test_the_body_of_an_error_is_not_read(fetcher: ImageFetcher, origin: ScriptedOrigin) -> None:
    """An endless 404 is a 404 at once, not a body that is too large."""
    error = failure(fetcher, origin.on("/", endless(head(404), b"x" * 65536)))

    assert (error.code, error.detail) == (OutcomeCode.HTTP_4XX, "HTTP 404")


@pytest.mark.fault("D6")
def test_a_body_longer_than_declared_is_read_as_far_as_declared(fetcher: ImageFetcher, origin: ScriptedOrigin) -> None:
    """What follows belongs to nobody."""
    script = raw(head(200, [("Content-Length", str(len(PICTURE)))]) + PICTURE + b"more")

    assert fetcher.fetch(origin.on("/", script)).body == PICTURE


@pytest.mark.fault("D14")
@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_answer_that_ends_it_is_asked_for_once(fetcher: ImageFetcher, origin: ScriptedOrigin, status: int) -> None:
    """No second request within an attempt."""
    failure(fetcher, origin.on("/", answer(status=status)))

    assert len(origin.received) == 1


@pytest.mark.feature("42")
@pytest.mark.fault("D8", "D10")
@pytest.mark.threat("T4")
def test_a_bomb_takes_no_more_memory_than_the_limit(fetcher: ImageFetcher, origin: ScriptedOrigin) -> None:
    """100 MB in 100 kB of gzip: decompressed piece by piece, given up behind 200 kB; a redirect's body is not read."""
    bomb = gzip.compress(bytes(100_000_000))
    origin.on("/moved", redirect("/bomb", body=bomb))
    origin.on("/bomb", answer(bomb, headers=[("Content-Encoding", "gzip")]))
    tracemalloc.start()
    try:
        error = failure(fetcher, origin.url("/moved"))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert error.code is OutcomeCode.TOO_LARGE
    assert peak_bytes < 2_000_000


@pytest.mark.fault("D15")
@pytest.mark.threat("T5")
@pytest.mark.parametrize(
    ("value", "expected"),
    [("5", 5), ("0", None), ("-1", None), ("1000000000", 3600), ("soon", None), ("", None), ("1.5", None)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_is_read_and_bounded(
    fetcher: ImageFetcher, origin: ScriptedOrigin, status: int, value: str, expected: float | None
) -> None:
    """Seconds are taken up to an hour; nonsense counts as absent."""
    url = origin.on("/", answer(status=status, headers=[("RETRY-AFTER", value)]))

    assert failure(fetcher, url).retry_after_s == expected


@pytest.mark.fault("D15")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Thursday, 01-Jan-70 00:00:00 GMT", None),
        ("Thu Jan  1 00:00:00 1970", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("Fri, 31 Dec 9999 23:59:59 +99999999999999999999", None),
        ("Fri, 99 Dec 2999 23:59:59 GMT", None),
        ("5, 10", None),
        ("5" * 5000, None),
        ("\u00b2", None),
    ],
    ids=["RFC 850", "asctime", "past", "far", "zone", "no day", "two", "digits", "superscript"],
)
def test_retry_after_of_any_other_kind_is_read_and_bounded(
    fetcher: ImageFetcher, origin: ScriptedOrigin, value: str, expected: float | None
) -> None:
    """What is over or says nothing counts as absent; the failure stays one that is tried again."""
    url = origin.on("/", answer(status=503, headers=[("Retry-After", value)]))
    error = failure(fetcher, url)

    assert (error.transient, error.retry_after_s) == (True, expected)


@pytest.mark.fault("D15")
def test_retry_after_as_a_date_is_read(fetcher: ImageFetcher, origin: ScriptedOrigin) -> None:
    """An HTTP date a minute away is 60 s, within 2 s."""
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    url = origin.on("/", answer(status=503, headers=[("Retry-After", at)]))

    assert failure(fetcher, url).retry_after_s == pytest.approx(60, abs=2)


def test_a_permanent_answer_has_no_retry_after(fetcher: ImageFetcher, origin: ScriptedOrigin) -> None:
    """404 with Retry-After stays permanent."""
    url = origin.on("/", answer(status=404, headers=[("Retry-After", "5")]))

    assert failure(fetcher, url).retry_after_s is None


@pytest.mark.fault("D3")
def test_a_refused_connection_is_tried_once_more() -> None:
    """A blip costs no attempt: the name is looked up and dialled twice, then the failure is transient."""
    with ScriptedOrigin() as gone:
        pass
    lookups: list[object] = []

    def resolve(*question: object) -> object:
        lookups.append(question)
        return socket.getaddrinfo(*question)  # type: ignore[arg-type]

    policy = EgressPolicy(allowed_networks=parse_networks(("127.0.0.0/8",)))
    egress = Egress(policy, user_agent="test", clock=SystemClock(), resolve=resolve)
    error = failure(ImageFetcher(egress, SystemClock()), gone.url("/"))

    assert (error.code, error.transient, len(lookups)) == (OutcomeCode.CONNECT_FAILED, True, 2)


@pytest.mark.threat("T9")
def test_an_origin_sees_our_name_and_no_credentials(
    fetcher: ImageFetcher, origin: ScriptedOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User-Agent and Accept are ours; no cookies, no authorisation, no referrer."""
    fetcher.fetch(origin.on("/", answer(PICTURE)))

    headers = origin.received[0].headers
    assert headers["user-agent"] == "Pressroom-test/1"
    assert headers["accept"].startswith("image/jpeg,")
    assert set(headers) == {"host", "user-agent", "accept", "accept-encoding", "connection"}


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("noai", "noai"),
        ("NoImageIndex, nofollow", "noimageindex"),
        ("nofollow, noimageai", "noimageai"),
        ("pressroom: noai", "noai"),
        ("*: noai", "noai"),
        ("otherbot: noai, pressroom: nofollow, noimageindex", "noimageindex"),
        ("max-image-preview: none, noai", "noai"),
        ("otherbot: nofollow, noai", None),
        ("otherbot: noai", None),
        ("noindex, nofollow", None),
        ("noairplanes", None),
        ("unavailable_after: 25 Jun 2030 15:00:00 GMT", None),
        ("", None),
        (":,: ,::", None),
    ],
)
def test_a_robots_tag_is_read_as_its_origin_means_it(header: str, found: str | None) -> None:
    """For everybody or for us by name; what is said to others does not concern us."""
    assert refusal(header) == found


REFUSED = answer(PICTURE, headers=[("X-Robots-Tag", "nofollow"), ("X-Robots-Tag", "noai")])


@pytest.mark.feature("26")
@pytest.mark.parametrize(
    ("policy", "notes"), [(RobotsPolicy.WARN, (Note.ROBOTS_TAG,)), (RobotsPolicy.IGNORE, ())], ids=str
)
def test_a_refused_image_is_taken_with_or_without_a_note(
    policy_of_origin: EgressPolicy, origin: ScriptedOrigin, policy: RobotsPolicy, notes: tuple[Note, ...]
) -> None:
    """As the operator chose; also when the header comes in two lines."""
    egress = Egress(policy_of_origin, user_agent="test", clock=SystemClock())
    fetched = ImageFetcher(egress, SystemClock(), robots=policy).fetch(origin.on("/", REFUSED))

    assert fetched == Fetched(PICTURE, notes)


@pytest.mark.feature("26")
def test_a_refused_image_may_be_left_alone(policy_of_origin: EgressPolicy, origin: ScriptedOrigin) -> None:
    """Permanent, with the origin's word in the detail."""
    egress = Egress(policy_of_origin, user_agent="test", clock=SystemClock())
    error = failure(ImageFetcher(egress, SystemClock(), robots=RobotsPolicy.SKIP), origin.on("/", REFUSED))

    assert (error.code, error.transient) == (OutcomeCode.ROBOTS_FORBIDDEN, False)
    assert error.detail == "the origin refuses copies: X-Robots-Tag noai"


@pytest.mark.fault("C3", "D18")
def test_changing_bytes_are_taken_as_they_come(fetcher: ImageFetcher, origin: ScriptedOrigin) -> None:
    """Each fetch asks the origin anew; nothing is cached."""

    def counting(exchange: Exchange) -> None:
        answer(str(len(origin.received)).encode())(exchange)

    url = origin.on("/", counting)

    assert [fetcher.fetch(url).body, fetcher.fetch(url).body] == [b"1", b"2"]
