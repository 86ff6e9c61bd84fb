"""Time as a part that can be replaced: every wait and every timestamp of the emulators goes through a `Clock`."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """Source of wall-clock time and the only way to wait."""

    def now(self) -> float:
        """Return seconds since the Unix epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` (>= 0) have passed on this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the Unix epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of the machine's time."""
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when `advance` is called; for tests and for `/_local` time control."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._advancing = asyncio.Lock()
        self.requested: list[float] = []
        """Every sleep ever asked for, in order: tests assert delays on it."""

    def now(self) -> float:
        """Return the set time, in seconds since the Unix epoch."""
        return self._now

    @property
    def sleeper_count(self) -> int:
        """Return how many coroutines wait on this clock."""
        return sum(1 for _, _, future in self._sleepers if not future.done())

    def next_due(self) -> float | None:
        """Return when the next sleeper wants to wake, None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was advanced by `seconds`."""
        self.requested.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time forward, waking sleepers in order and letting them run between two wake-ups.

        One advance waits for the one before, so that two add up. What a sleeper does with the network takes real time:
        sleeps that it asks for afterwards begin where the clock stands then.
        """
        async with self._advancing:
            target = self._now + seconds
            await _settle()
            while self._sleepers and self._sleepers[0][0] <= target:
                due, _, future = heapq.heappop(self._sleepers)
                self._now = max(self._now, due)
                if not future.done():
                    future.set_result(None)
                await _settle()
            self._now = target


async def _settle() -> None:
    """Give every ready coroutine of the loop several turns."""
    for _ in range(20):
        await asyncio.sleep(0)
