"""Origins as they are in the world: each answers a request with seconds to the first byte and what it says."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bench.pace.rule import Kind


@dataclass(frozen=True, slots=True)
class Answer:
    """An origin's answer."""

    kind: Kind
    seconds: float
    retry_after_s: float | None = None


class Origin(Protocol):
    """An image server."""

    def ask(self, now: float) -> Answer:
        """Answer a request that comes now."""
        ...


@dataclass
class Fast:
    """Bears anything; answers after `low` to `high` seconds."""

    rng: random.Random
    low: float = 0.03
    high: float = 0.08

    def ask(self, now: float) -> Answer:  # noqa: ARG002
        """Answer a request."""
        return Answer(Kind.GOOD, self.rng.uniform(self.low, self.high))


@dataclass
class Limited:
    """Refuses what is above `per_s`, with a bucket of as many; may say when to come back."""

    rng: random.Random
    per_s: float = 8.0
    retry_after_s: float | None = None
    tokens: float = 8.0
    at: float = 0.0

    def ask(self, now: float) -> Answer:
        """Answer a request."""
        self.tokens = min(self.per_s, self.tokens + (now - self.at) * self.per_s)
        self.at = now
        if self.tokens < 1:
            return Answer(Kind.REFUSED, 0.02, self.retry_after_s)
        self.tokens -= 1
        return Answer(Kind.GOOD, self.rng.uniform(0.05, 0.15))


@dataclass
class Queueing:
    """Has so many workers, each needs `service_s`; the rest waits in a queue of any length."""

    rng: random.Random
    workers: int = 4
    service_s: float = 0.2
    free_at: list[float] = field(default_factory=list)

    def ask(self, now: float) -> Answer:
        """Answer a request."""
        while self.free_at and self.free_at[0] <= now:
            heapq.heappop(self.free_at)
        begin = now if len(self.free_at) < self.workers else sorted(self.free_at)[-self.workers]
        heapq.heappush(self.free_at, begin + self.service_s)
        return Answer(Kind.GOOD, begin + self.service_s - now)


@dataclass
class Dying:
    """Fast, but refuses connections from second `at` on, for `seconds`."""

    rng: random.Random
    at: float = 6.0
    seconds: float = 20.0

    def ask(self, now: float) -> Answer:
        """Answer a request."""
        if self.at <= now < self.at + self.seconds:
            return Answer(Kind.DEAD, 0.005)
        return Answer(Kind.GOOD, self.rng.uniform(0.03, 0.08))


@dataclass
class Crowded:
    """Bears `places` at once and answers 503 to the rest."""

    rng: random.Random
    places: int = 50
    ends: list[float] = field(default_factory=list)

    def ask(self, now: float) -> Answer:
        """Answer a request."""
        while self.ends and self.ends[0] <= now:
            heapq.heappop(self.ends)
        if len(self.ends) >= self.places:
            return Answer(Kind.TROUBLE, 0.01)
        seconds = self.rng.uniform(0.45, 0.55)
        heapq.heappush(self.ends, now + seconds)
        return Answer(Kind.GOOD, seconds)


@dataclass
class Noisy:
    """Latencies spread log-normally, whatever the load, and one answer in a hundred is a 5xx."""

    rng: random.Random
    sigma: float = 1.0

    def ask(self, now: float) -> Answer:  # noqa: ARG002
        """Answer a request."""
        seconds = min(30.0, 0.1 * math.exp(self.rng.gauss(0, self.sigma)))
        if seconds > 15:
            return Answer(Kind.DEAD, 15.0)
        return Answer(Kind.TROUBLE if self.rng.random() < 0.01 else Kind.GOOD, seconds)


@dataclass
class Banning:
    """Bans for ten minutes whoever asks more than 20 times a second over ten seconds."""

    rng: random.Random
    recent: deque[float] = field(default_factory=deque)
    until: float = -1.0

    def ask(self, now: float) -> Answer:
        """Answer a request."""
        self.recent.append(now)
        while self.recent[0] < now - 10:
            self.recent.popleft()
        if now >= self.until and len(self.recent) > 200:
            self.until = now + 600
        if now < self.until:
            return Answer(Kind.REFUSED, 0.02)
        return Answer(Kind.GOOD, self.rng.uniform(0.05, 0.15))


@dataclass(frozen=True, slots=True)
class Case:
    """An origin and the images a second that a fixed pace would reach there if one knew the best one."""

    make: Callable[[random.Random], Origin]
    best_per_s: float
    dead_s: float = 0.0


def cases(images_per_s: float) -> dict[str, Case]:
    """Return the origins by name; `images_per_s` is what the compressors do."""
    return {
        "a fast": Case(Fast, images_per_s),
        "b 8/s": Case(Limited, 8.0),
        "b 8/s, Retry-After 2": Case(lambda rng: Limited(rng, retry_after_s=2.0), 8.0),
        "c 4 x 200 ms": Case(Queueing, 20.0),
        "d dead 20 s": Case(Dying, images_per_s, 20.0),
        "d dead 300 s": Case(lambda rng: Dying(rng, seconds=300.0), images_per_s, 300.0),
        "e noisy": Case(Noisy, min(images_per_s, 64 / 0.165)),
        "f 2 to 5 s": Case(lambda rng: Fast(rng, 2.0, 5.0), min(images_per_s, 64 / 3.5)),
        "g 50 at once": Case(Crowded, min(images_per_s, 100.0)),
        "h bans": Case(Banning, 20.0),
    }
