"""Retry delays and the give-up rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.tasks.engine.backoff import is_exhausted, retry_delay_s, throttled_delay_s
from localcloud.tasks.model import RetryConfig


def test_backoff_is_the_documented_example() -> None:
    """10 s, 300 s and 3 doublings give the delays Google's documentation lists."""
    config = RetryConfig(min_backoff_s=10, max_backoff_s=300, max_doublings=3)

    assert [retry_delay_s(n, config) for n in range(1, 9)] == [10, 20, 40, 80, 160, 240, 300, 300]


def test_backoff_refuses_zero_failures() -> None:
    """A delay exists only after a failure."""
    with pytest.raises(ValueError, match="at least 1"):
        retry_delay_s(0, RetryConfig())


@given(
    st.integers(1, 10_000),
    st.floats(0.001, 100),
    st.floats(0, 10_000),
    st.integers(1, 1000),
)
def test_backoff_grows_and_stays_within_its_bounds(failures: int, minimum: float, extra: Any, doublings: int) -> None:
    """No delay is shorter than the one before, below the minimum or above the maximum."""
    config = RetryConfig(min_backoff_s=minimum, max_backoff_s=minimum + extra, max_doublings=doublings)

    delay, later = retry_delay_s(failures, config), retry_delay_s(failures + 1, config)

    assert minimum <= delay <= later <= minimum + extra


@pytest.mark.parametrize(
    ("attempts", "elapsed_s", "max_attempts", "duration_s", "expected"),
    [
        pytest.param(2, 0, 3, 0, False, id="attempts-left"),
        pytest.param(3, 0, 3, 0, True, id="attempts-used-without-duration"),
        pytest.param(3, 59, 3, 60, False, id="attempts-used-but-duration-not-over"),
        pytest.param(3, 60, 3, 60, True, id="both-reached"),
        pytest.param(2, 60, 3, 60, False, id="duration-over-but-attempts-left"),
        pytest.param(10_000, 1e9, -1, 0, False, id="unlimited"),
        pytest.param(1, 60, -1, 60, True, id="unlimited-attempts-bounded-by-duration"),
    ],
)
def test_task_is_given_up_only_when_both_bounds_are_reached(
    attempts: int, elapsed_s: float, max_attempts: int, duration_s: float, expected: Any
) -> None:
    """max_attempts and max_retry_duration must both be satisfied."""
    config = RetryConfig(max_attempts=max_attempts, max_retry_duration_s=duration_s)

    assert is_exhausted(attempts, elapsed_s=elapsed_s, config=config) is expected


@pytest.mark.parametrize(
    ("retry_after_s", "expected"), [(None, 20.0), (3.0, 10.0), (60.0, 60.0)], ids=["none", "shorter", "longer"]
)
def test_throttled_delay_is_at_least_retry_after(retry_after_s: float, expected: Any) -> None:
    """Retry-After never shortens a delay; without it the delay doubles."""
    assert throttled_delay_s(10.0, retry_after_s) == expected
