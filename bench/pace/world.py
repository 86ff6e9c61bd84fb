"""One host, its origin, and what stands between: claims, Cloud Tasks, compressors, outcomes; as discrete events.

Starts are planned by ingest's own code; outcomes change the pace by `bench.pace.rule`, which a test compares with the
database's. Not simulated: the processor time of fetches, lost outcomes, leases.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.pace.origins import Origin
from bench.pace.rule import Host, Kind, after, sample_size
from ingest.dispatch.next_claim import REPORTED_S, UNKNOWN_FLOOR_S
from ingest.dispatch.pace import (
    CLAIM_BEFORE_S,
    CLAIM_EVERY_S,
    LOOK_AHEAD_S,
    RISING_BELOW,
    RISING_CLAIM_EVERY_S,
    STEADY_LOOK_AHEAD_S,
    HostPace,
    plan_starts,
)

MAX_RATE, MAX_CONCURRENCY = 500.0, 64
DISPATCH_S = 0.3
REPORT_S = 0.05
ATTEMPTS = 5
THREADS = 16


@dataclass(slots=True)
class Image:
    """An image: its batch, the attempts that counted, and its present start."""

    batch: int
    attempts: int = 0
    start: float = 0.0


@dataclass
class Batch:
    """A batch: how many images, when it begins, what is due, and when its last image ended."""

    images: int
    begins: float = 0.0
    due: deque[Image] = field(default_factory=deque)
    later: list[tuple[float, int, Image]] = field(default_factory=list)
    left: int = 0
    took_s: float = 0.0


@dataclass
class Seen:
    """What came out: seconds, images lost, and the origin's answers as (second, kind, latency)."""

    seconds: float = 0.0
    done: int = 0
    lost: int = 0
    deferred: int = 0
    answers: list[tuple[float, Kind, float]] = field(default_factory=list)
    ended_at: list[float] = field(default_factory=list)

    def refused_share(self, *, after_s: float) -> float:
        """Return the share of answers after so many seconds that were not good."""
        late = [kind for at, kind, _ in self.answers if at > after_s]
        return sum(kind is not Kind.GOOD for kind in late) / max(1, len(late))

    def p95_s(self) -> float:
        """Return the 95th percentile of the latencies of good answers after 15 s."""
        found = sorted(seconds for at, kind, seconds in self.answers if kind is Kind.GOOD and at > 15)
        return found[int(len(found) * 0.95)] if found else 0.0


class World:
    """Runs batches of one host until all images have ended or `max_s` have passed."""

    def __init__(
        self,
        origin: Callable[[random.Random], Origin],
        batches: Sequence[tuple[int, float]] = ((2000, 0.0),),
        *,
        seed: int = 1,
        instances: int = 4,
        cores: int = 4,
        compress_s: float = 0.03,
        max_s: float = 4000.0,
        fixed_rate: float | None = None,
    ) -> None:
        self._rng = random.Random(seed)
        self._origin = origin(random.Random(seed + 1000))
        self.batches = [Batch(images, begins, left=images) for images, begins in batches]
        self._learns = fixed_rate is None
        self.host = Host() if fixed_rate is None else Host(rate=fixed_rate, ceiling=fixed_rate)
        self.seen = Seen()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = itertools.count()
        self._now = 0.0
        self._flying: set[int] = set()
        self._images: dict[int, Image] = {}
        self._threads = [THREADS] * instances
        self._closed_until = [0.0] * instances
        self._waiting: deque[Image] = deque()
        self._core_free = [0.0] * cores
        self._compress_s = compress_s
        self._max_s = max_s

    def run(self) -> Seen:
        """Run to the end."""
        for number, batch in enumerate(self.batches):
            self._at(batch.begins, self._begin, number)
        total = sum(batch.images for batch in self.batches)
        while self._events and self.seen.done + self.seen.lost < total:
            self._now, _, action, arguments = heapq.heappop(self._events)
            if self._now > self._max_s:
                break
            action(*arguments)
        self.seen.seconds = self._now
        return self.seen

    def _at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (when, next(self._serial), action, arguments))

    def _begin(self, number: int) -> None:
        batch = self.batches[number]
        batch.due.extend(Image(number) for _ in range(batch.images))
        self._claim(number)

    def _claim(self, number: int) -> None:
        batch, now = self.batches[number], self._now
        if batch.left == 0:
            return
        while batch.later and batch.later[0][0] <= now:
            batch.due.appendleft(heapq.heappop(batch.later)[2])
        if batch.due:
            flying = [self._images[key] for key in self._flying]
            host = self.host
            pace = HostPace(
                host.rate,
                host.next_at - now,
                host.closed_until - now,
                host.is_shut,
                host.ceiling is not None,
                None if host.floor_log_s is None else math.exp(host.floor_log_s),
                under_way=sum(image.start <= now for image in flying),
                planned=sum(image.start > now for image in flying),
                own=sum(image.start > now and image.batch == number for image in flying),
                sharers=sum(1 for other in self.batches if other.due),
            )
            plan = plan_starts(pace, max_rate=MAX_RATE, max_concurrency=MAX_CONCURRENCY)
            starts = plan.starts[: len(batch.due)]
            if starts:
                used = len(starts)
                next_s = plan.next_s if used == len(plan.starts) else plan.starts[used]
                self.host = replace(host, next_at=now + next_s)
                if plan.waits and now < host.calm_until and host.judged_from < now + starts[0]:
                    self.host = replace(
                        self.host, judged_from=now + starts[0], sampled=0, sample_log_s=0.0, sample_square=0.0
                    )
            for start in starts:
                image = batch.due.popleft()
                image.start = now + start
                self._images[id(image)] = image
                self._flying.add(id(image))
                self._at(image.start + self._rng.uniform(0, DISPATCH_S), self._arrive, image)
        self._at(now + self._next_claim_s(batch) + self._rng.uniform(0.0, 0.1), self._claim, number)

    def _next_claim_s(self, batch: Batch) -> float:
        """Return what ingest's `next_claim_s` would say, which is one statement over all hosts of a batch."""
        host, now = self.host, self._now
        due_s = 0.0 if batch.due else batch.later[0][0] - now if batch.later else CLAIM_EVERY_S
        ahead_s = LOOK_AHEAD_S if host.ceiling is None else STEADY_LOOK_AHEAD_S
        wait_s = max(CLAIM_EVERY_S, due_s, host.closed_until - now - ahead_s, host.next_at - now - CLAIM_BEFORE_S)
        if host.ceiling is None and host.rate < RISING_BELOW and not host.is_shut:
            floor_s = UNKNOWN_FLOOR_S if host.floor_log_s is None else math.exp(host.floor_log_s)
            learned_s = host.judged_from - now + sample_size(host) / host.rate + floor_s + REPORTED_S
            if learned_s > -CLAIM_EVERY_S:
                return min(wait_s, max(due_s, learned_s, RISING_CLAIM_EVERY_S))
        return wait_s

    def _arrive(self, image: Image) -> None:
        self._waiting.append(image)
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            free = [index for index, threads in enumerate(self._threads) if threads]
            if not free:
                return
            index, image = self._rng.choice(free), self._waiting.popleft()
            if self._closed_until[index] > self._now:
                self.seen.deferred += 1
                self._at(self._now + REPORT_S, self._deferred, image)
                continue
            self._threads[index] -= 1
            answer = self._origin.ask(self._now)
            self.seen.answers.append((self._now, answer.kind, answer.seconds))
            self._at(self._now + answer.seconds, self._answered, image, index, answer)

    def _answered(self, image: Image, index: int, answer: Any) -> None:
        ends = self._now
        if answer.kind is Kind.GOOD:
            core = min(range(len(self._core_free)), key=self._core_free.__getitem__)
            ends = self._core_free[core] = max(self._core_free[core], self._now) + self._compress_s
        self._at(ends, self._free_thread, index)
        self._at(ends + REPORT_S, self._outcome, image, index, answer)

    def _free_thread(self, index: int) -> None:
        self._threads[index] += 1
        self._serve()

    def _deferred(self, image: Image) -> None:
        self._flying.discard(id(image))
        batch = self.batches[image.batch]
        heapq.heappush(batch.later, (self._now + 0.5, next(self._serial), image))

    def _outcome(self, image: Image, index: int, answer: Any) -> None:
        self._flying.discard(id(image))
        now, batch = self._now, self.batches[image.batch]
        if self._learns:
            self.host = after(self.host, now, image.start, answer.kind, answer.seconds, answer.retry_after_s)
        if answer.kind is Kind.GOOD:
            batch.left -= 1
            self.seen.done += 1
            self.seen.ended_at.append(now)
        else:
            self._closed_until[index] = max(self._closed_until[index], self.host.closed_until)
            refused = answer.kind is Kind.REFUSED
            if not refused and not self.host.is_shut:
                image.attempts += 1
            if image.attempts < ATTEMPTS:
                wait_s = 1.0 if refused else 2.0**image.attempts
                heapq.heappush(batch.later, (now + wait_s, next(self._serial), image))
                return
            batch.left -= 1
            self.seen.lost += 1
        if batch.left == 0:
            batch.took_s = now - batch.begins
