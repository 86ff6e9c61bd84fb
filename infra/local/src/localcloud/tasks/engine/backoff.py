"""When a failed task is tried again, and when it is given up; pure functions."""

from __future__ import annotations

from localcloud.tasks.model import UNLIMITED_ATTEMPTS, RetryConfig

THROTTLED_BACKOFF_FACTOR = 2.0
"""A 429 or 503 without Retry-After waits this many times the normal delay; Google publishes no number (assumed)."""


def retry_delay_s(failures: int, config: RetryConfig) -> float:
    """Return the seconds between failed attempt number `failures` (>= 1) and the next dispatch.

    The delay doubles `max_doublings` times, then grows linearly by the last step, never above `max_backoff_s`:
    with 10 s, 300 s and 3 doublings 10, 20, 40, 80, 160, 240, 300, 300.

    Raises:
        ValueError: `failures` < 1.

    Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#RetryConfig
    """
    if failures < 1:
        raise ValueError(f"failures must be at least 1, not {failures}")
    doublings = config.max_doublings
    if failures - 1 <= doublings:
        # Above 64 doublings any positive delay is longer than the longest backoff; 2**n must stay a float.
        delay = config.min_backoff_s * 2.0 ** min(failures - 1, 64)
    else:
        delay = config.min_backoff_s * 2.0 ** min(doublings, 64) * (failures - doublings)
    return min(config.max_backoff_s, delay)


def throttled_delay_s(delay_s: float, retry_after_s: float | None) -> float:
    """Return the delay after an answer 429 or 503: at least Retry-After, or a longer backoff when none was sent."""
    if retry_after_s is None:
        return delay_s * THROTTLED_BACKOFF_FACTOR
    return max(delay_s, retry_after_s)


def is_exhausted(attempts: int, *, elapsed_s: float, config: RetryConfig) -> bool:
    """Tell whether a task that failed `attempts` times, first tried `elapsed_s` ago, is given up.

    Both bounds must be reached: with a retry duration set, retries go on past `max_attempts` until it is over too.
    Unlimited attempts with a duration end with the duration (assumed: the documentation does not say).

    Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#RetryConfig
    """
    unlimited_attempts = config.max_attempts == UNLIMITED_ATTEMPTS
    unlimited_duration = config.max_retry_duration_s <= 0
    if unlimited_attempts and unlimited_duration:
        return False
    attempts_reached = unlimited_attempts or attempts >= config.max_attempts
    duration_reached = unlimited_duration or elapsed_s >= config.max_retry_duration_s
    return attempts_reached and duration_reached
