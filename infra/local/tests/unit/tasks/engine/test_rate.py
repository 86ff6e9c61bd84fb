"""The token bucket."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.tasks.engine.rate import TokenBucket


def test_bucket_starts_full_and_refills_at_its_rate() -> None:
    """After the burst, tokens come one per 1/rate seconds."""
    bucket = TokenBucket(rate=10, burst=2, now=0)

    taken = [bucket.take(t) for t in (0, 0, 0, 0.05, 0.1, 0.1)]

    assert taken == [True, True, False, False, True, False]


def test_bucket_never_holds_more_than_its_burst() -> None:
    """A long idle time saves up no more than the bucket size."""
    bucket = TokenBucket(rate=10, burst=3, now=0)

    assert [bucket.take(1000) for _ in range(4)] == [True, True, True, False]


def test_slowed_bucket_refills_at_half_its_rate_and_forgets_its_burst() -> None:
    """After a 429 or 503 the next token takes twice as long, until five seconds are over."""
    bucket = TokenBucket(rate=1, burst=10, now=0)
    bucket.slow_down(0)
    bucket.take(0)

    assert bucket.next_token_time(0) == pytest.approx(2.0)


def test_slow_down_ends_by_itself() -> None:
    """A token that needs longer than the slow phase is filled at full rate afterwards."""
    bucket = TokenBucket(rate=0.1, burst=1, now=0)
    bucket.slow_down(0)
    bucket.take(0)

    assert bucket.next_token_time(0) == pytest.approx(12.5)


@given(st.floats(0.1, 500), st.integers(1, 500), st.lists(st.floats(0, 5), max_size=50), st.booleans())
def test_token_is_there_at_the_announced_time(rate: float, burst: int, gaps: Any, slowed: Any) -> None:
    """`take` succeeds at `next_token_time`, whatever happened before."""
    bucket, now = TokenBucket(rate=rate, burst=burst, now=0), 0.0
    for gap in gaps:
        now += gap
        bucket.take(now)
    if slowed:
        bucket.slow_down(now)

    assert bucket.take(bucket.next_token_time(now))


def test_reconfigured_bucket_keeps_its_tokens_up_to_the_new_size() -> None:
    """A smaller bucket drops what does not fit; the rate changes from now on."""
    bucket = TokenBucket(rate=1, burst=10, now=0)
    bucket.reconfigure(rate=4, burst=2, now=0)

    assert [bucket.take(0) for _ in range(3)] == [True, True, False]
    assert bucket.next_token_time(0) == pytest.approx(0.25)
