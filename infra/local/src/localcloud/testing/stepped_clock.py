"""The clock of a harness, for the thread of its tests."""

from __future__ import annotations

from localcloud.core.clock import ManualClock
from localcloud.testing.loop_thread import LoopThread


class SteppedClock:
    """The time of all emulators; it moves when it is told to, and while `run` waits for an execution."""

    def __init__(self, clock: ManualClock, loop: LoopThread) -> None:
        self._clock = clock
        self._loop = loop

    def now(self) -> float:
        """Return seconds since the Unix epoch."""
        return self._clock.now()

    def advance(self, seconds: float) -> None:
        """Move time forward; whoever sleeps until then wakes."""
        self._loop.run(self._clock.advance(seconds))
