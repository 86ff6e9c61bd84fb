"""The token bucket that paces a queue; pure, time is an argument."""

from __future__ import annotations

SLOW_DOWN_FACTOR = 0.5
SLOW_DOWN_S = 5.0
"""After a 429 or 503 the queue refills at half its rate for this long; Google publishes no number (assumed)."""


class TokenBucket:
    """Holds up to `burst` tokens, refilled at `rate` per second; one dispatch takes one token."""

    def __init__(self, *, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._filled_until = now
        self._slow_until = now

    def reconfigure(self, *, rate: float, burst: int, now: float) -> None:
        """Take over new limits; tokens already there are kept up to the new bucket size."""
        self._refill(now)
        self._rate = rate
        self._burst = burst
        self._tokens = min(self._tokens, float(burst))

    def take(self, now: float) -> bool:
        """Take a token; return False when there is none at `now` (seconds, never going back)."""
        self._refill(now)
        # A timer set for exactly one token may find it a rounding error short.
        if self._tokens < 1.0 - 1e-6:
            return False
        self._tokens = max(0.0, self._tokens - 1.0)
        return True

    def next_token_time(self, now: float) -> float:
        """Return when a token will be there: `now`, or later."""
        self._refill(now)
        missing = 1.0 - self._tokens
        if missing <= 1e-6:
            return now
        slow_rate = self._rate * SLOW_DOWN_FACTOR
        slow_for = max(0.0, self._slow_until - now)
        if missing <= slow_for * slow_rate:
            return now + missing / slow_rate
        return now + slow_for + (missing - slow_for * slow_rate) / self._rate

    def slow_down(self, now: float) -> None:
        """Refill slower for a while and give up saved tokens, because the target asked for less."""
        self._refill(now)
        self._tokens = min(self._tokens, 1.0)
        self._slow_until = now + SLOW_DOWN_S

    def _refill(self, now: float) -> None:
        start = self._filled_until
        if now <= start:
            return
        slow_s = min(now, max(start, self._slow_until)) - start
        normal_s = now - start - slow_s
        gained = self._rate * (slow_s * SLOW_DOWN_FACTOR + normal_s)
        self._tokens = min(float(self._burst), self._tokens + gained)
        self._filled_until = now
