"""Nothing that a receiver can say ends without a recorded attempt: random and hostile answers, byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressPolicy
from reporter.clients.receivers import MAX_ANSWER_BYTES, Answered, Unanswered, call_receiver
from reporter.webhooks.retry_policy import Delivered, GivenUp, TryAgain, judge, retry_after_s
from support.reporter_service import World
from support.scripted_origin import Script, ScriptedOrigin, answer, drip, endless, raw, reset

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

NUMBERS = st.sampled_from(["0", "-1", "5", "1e9", "٣", "²", "9" * 20, "9" * 400, "+5", "5, 5", "0x10", "NaN", "inf"])
ZONES = st.sampled_from(["GMT", "", "+0000", "-2400", "+9999", "+99999999999999999999", "EST", "\x00", "+"])
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sun", "", "Xxx", "Sunday"]),
    NUMBERS | st.sampled_from(["06", "99"]),
    st.sampled_from(["Nov", "Foo", "13"]),
    st.sampled_from(["2026", "0", "99999", "-1", "1", "9999"]),
    NUMBERS | st.sampled_from(["08", "25"]),
    st.sampled_from(["00", "99", "-5"]),
    st.sampled_from(["00", "61", ""]),
    ZONES,
)
ODD_TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("Retry-After", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Location", "Set-Cookie"),
                *("Connection", "Trailer", "Date", "", " ", "X\x00Y"),
            ]
        ),
        NUMBERS | DATES | ODD_TEXT | st.sampled_from(["chunked", "gzip", "deflate", "br", "gzip, gzip", "//", "?"]),
    ),
    max_size=6,
)
STATUS_LINES = st.builds(
    "{} {} {}".format,
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2", "HTTP/9.9", "ICY", ""]),
    st.integers(-1, 1200) | st.sampled_from([200, 202, 204, 301, 410, 429, 503, "٢٠٠", "2 0 0"]),
    ODD_TEXT,
)
ANSWERS = st.builds(
    lambda status, headers, body: (
        "\r\n".join([status, *(f"{name}: {value}" for name, value in headers)]).encode("utf-8", "replace")
        + b"\r\n\r\n"
        + body
    ),
    STATUS_LINES,
    HEADERS,
    st.binary(max_size=60),
) | st.binary(max_size=200)


@pytest.fixture(scope="module", name="receiver")
def _receiver() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as origin:
        yield origin


@pytest.fixture(scope="module", name="egress")
def _egress() -> Egress:
    networks = parse_networks(("127.0.0.0/8",))
    policy = EgressPolicy(allowed_networks=networks, read_timeout_s=2, total_timeout_s=2, max_body_bytes=20_000)
    return Egress(policy, user_agent="test/1", clock=SystemClock())


@settings(max_examples=250, deadline=None)
@given(data=ANSWERS)
def test_whatever_a_receiver_says_is_an_outcome_with_a_verdict(
    egress: Egress, receiver: ScriptedOrigin, data: bytes
) -> None:
    """It fits the row of an attempt, and what follows is known."""
    outcome = call_receiver(egress, receiver.on("/", raw(data)), headers={}, body=b"{}")
    verdict = judge(outcome, attempt=1, schedule_s=(300,), jitter=0.5, now=NOW)

    match outcome:
        case Answered(status_code, _, text):
            assert 100 <= status_code <= 999
            assert len(text) <= MAX_ANSWER_BYTES
            assert "\x00" not in text
            text.encode()
        case Unanswered(code):
            assert code.isupper()
    match verdict:
        case TryAgain(delay_s):
            assert 300 <= delay_s <= 600
        case _:
            assert isinstance(verdict, Delivered | GivenUp)


@settings(max_examples=500, deadline=None)
@given(value=NUMBERS | DATES | ODD_TEXT | st.builds("{} {}".format, DATES, ODD_TEXT))
def test_any_retry_after_is_a_number_of_seconds_or_absent(value: str) -> None:
    """Whatever its text, and however much the calendar dislikes it."""
    seconds = retry_after_s(value, now=NOW)

    assert seconds is None or 0 <= seconds < 400 * 366 * 86_400 * 25


def test_an_error_that_nobody_foresaw_is_an_outcome_too() -> None:
    """The guard stands around the whole of what a receiver can say, not around the errors that are known."""

    class Broken(Egress):
        def request(self, *_arguments: object, **_named: object) -> NoReturn:
            raise OverflowError("what nobody has thought of")

    broken = Broken(EgressPolicy(), user_agent="test/1", clock=SystemClock())

    assert call_receiver(broken, "http://shop.test/", headers={}, body=b"{}") == Unanswered("INCOMPLETE")


HOSTILE: dict[str, Script] = {
    "a zone that overflows": answer(
        status=503, headers=[("Retry-After", "Sun, 06 Nov 1994 08:49:37 +99999999999999999999")]
    ),
    "a year that overflows": answer(status=503, headers=[("Retry-After", "Sun, 06 Nov 99999 08:49:37 GMT")]),
    "four hundred digits": answer(status=429, headers=[("Retry-After", "9" * 400)]),
    "no HTTP at all": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "nothing": raw(b""),
    "a status of six digits": raw(b"HTTP/1.1 200000 OK\r\n\r\n"),
    "a negative status": raw(b"HTTP/1.1 -1 OK\r\n\r\n"),
    "a length that is no number": raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nbody"),
    "a chunk of minus one": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
    "a body that is not gzip": answer(b"plain", headers=[("Content-Encoding", "gzip")]),
    "many encodings": answer(b"x", headers=[("Content-Encoding", ", ".join(["gzip"] * 50))]),
    "ten thousand headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"),
    "a header of a megabyte": raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n"),
    "NUL and half characters": answer(b"\x00\xff\xed\xa0\x80" * 100, status=500),
    "endless informational answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "a dripping status line": drip(b"HTTP/1.1 2", b"0"),
    "a reset": reset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
}


@pytest.mark.fault("H4")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_a_recorded_attempt(
    make_world: Callable[..., World], receiver: ScriptedOrigin, name: str
) -> None:
    """End to end: the task is answered, one attempt is in the log, and the delivery is over or due again."""
    world = make_world(WEBHOOK_TIMEOUT_S="0.5")
    request_id = world.notify(webhook_url=receiver.on("/hostile", HOSTILE[name]))

    standing = world.deliver(world.queue.hints[0])

    (delivery,) = world.deliveries(request_id)
    (attempt,) = delivery["attempts"]
    assert standing["attempts"] == 1
    assert (attempt["status_code"] is None) != (attempt["failure"] is None)
    assert delivery["state"] in {"DELIVERED", "FAILED"} or delivery["next_attempt_at"] is not None
