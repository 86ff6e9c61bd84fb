"""One wake-up on a clock that can be moved earlier."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from localcloud.core.clock import Clock


class Alarm:
    """Calls `on_ring` at the earliest time it was armed for, then is silent until armed again.

    A caller that needs a later time than the one set keeps the earlier one: ringing early is harmless because
    `on_ring` looks at the state and arms again.
    """

    def __init__(self, clock: Clock, on_ring: Callable[[], None]) -> None:
        self._clock = clock
        self._on_ring = on_ring
        self._time: float | None = None
        self._sleeper: asyncio.Task[None] | None = None

    def arm(self, time: float) -> None:
        """Ring at `time` (seconds since the epoch) or before."""
        if self._time is not None and self._time <= time:
            return
        self.disarm()
        self._time = time
        self._sleeper = asyncio.get_running_loop().create_task(self._sleep_until(time))

    def disarm(self) -> None:
        """Do not ring."""
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._sleeper = None
        self._time = None

    async def _sleep_until(self, time: float) -> None:
        await self._clock.sleep(time - self._clock.now())
        self._sleeper = None
        self._time = None
        self._on_ring()
