"""What follows an attempt, as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporter.clients.receivers import Answered, Outcome, Unanswered
from reporter.state.deliveries import EndReason
from reporter.webhooks.retry_policy import Delivered, GivenUp, TryAgain, judge, retry_after_s

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SCHEDULE_S = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)


def verdict(outcome: Outcome, attempt: int = 1, jitter: float = 0.5) -> Delivered | GivenUp | TryAgain:
    return judge(outcome, attempt=attempt, schedule_s=SCHEDULE_S, jitter=jitter, now=NOW)


def delay_s(outcome: Outcome, attempt: int = 1, jitter: float = 0.5) -> float:
    result = verdict(outcome, attempt, jitter)
    assert isinstance(result, TryAgain)
    return result.delay_s


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_only_2xx_is_delivered(status: int) -> None:
    """Any 2xx says that the receiver took the event."""
    assert verdict(Answered(status)) == Delivered()


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 307, 308, 400, 401, 404, 409, 429, 500, 502, 503, 504])
def test_every_other_status_is_tried_again(status: int) -> None:
    """Also 3xx, which is not followed, and 4xx, which a redeployed receiver may mend."""
    assert isinstance(verdict(Answered(status)), TryAgain)


def test_gone_ends_the_delivery_at_once() -> None:
    """410 says that nobody listens there any more."""
    assert verdict(Answered(410)) == GivenUp(EndReason.GONE)


def test_a_url_that_can_never_work_ends_the_delivery_at_once() -> None:
    """A malformed URL stays malformed."""
    assert verdict(Unanswered("URL_INVALID", final=True)) == GivenUp(EndReason.URL_INVALID)


def test_the_delays_are_those_of_standard_webhooks() -> None:
    """Nine delays without jitter, then the delivery is given up: ten attempts."""
    delays = [delay_s(Answered(500), attempt) for attempt in range(1, 10)]

    assert delays == list(SCHEDULE_S)
    assert verdict(Answered(500), 10) == GivenUp(EndReason.EXHAUSTED)


@given(st.integers(1, 9), st.floats(0, 1))
def test_jitter_is_at_most_a_fifth(attempt: int, jitter: float) -> None:
    """A delay is between 80 and 120 % of the schedule's."""
    base = SCHEDULE_S[attempt - 1]

    assert 0.8 * base - 0.001 <= delay_s(Unanswered("TIMEOUT"), attempt, jitter) <= 1.2 * base + 0.001


@pytest.mark.fault("H7")
@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        ("400", 400),
        ("1", 300),
        ("0", 300),
        ("600", 600),
        ("601", 600),
        ("999999999", 600),
        ("9" * 5000, 300),
        ("-5", 300),
        ("soon", 300),
        ("", 300),
        (None, 300),
        ("Sun, 22 Nov 2026 10:08:00 GMT", 480),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 300),
        ("Sun, 22 Nov 9999 10:08:00 GMT", 600),
        ("Sun, 99 Nov 2026 10:08:00 GMT", 300),
    ],
    ids=lambda value: str(value)[:30],
)
def test_retry_after_moves_a_delay_to_at_most_its_double(header: str | None, expected_s: float) -> None:
    """A wish is granted between one and two times our own delay; nonsense is ignored."""
    assert delay_s(Answered(503, header), attempt=2) == expected_s


@pytest.mark.fault("H7")
@given(st.text(max_size=40))
def test_any_retry_after_header_can_be_read(header: str) -> None:
    """A receiver cannot crash the sender."""
    seconds = retry_after_s(header, now=NOW)

    assert seconds is None or seconds >= 0


def test_a_wish_is_measured_from_now() -> None:
    """A date without zone is UTC."""
    assert retry_after_s("Sun, 22 Nov 2026 10:01:00 -0000", now=NOW) == timedelta(minutes=1).total_seconds()
