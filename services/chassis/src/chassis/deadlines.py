"""Deadlines of whatever waits: one thread looks after all of them, so that one more costs no thread of its own.

A thread takes 0.3 to 1.3 ms of processor time to start and to stop, and a request would need three. A deadline that is
met, as nearly all are, costs two changes of a dictionary.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable

from chassis.clock import Clock

_LONGEST_SLEEP_S = 5.0
"""The thread looks at least so often: a deadline further away wakes nobody when it is begun."""

Look = Callable[[], float | None]


class Deadlines:
    """Calls back what is not ended in time.

    Args:
        clock: its monotonic time counts.
        name: of the thread.
    """

    def __init__(self, clock: Clock, *, name: str) -> None:
        self._clock = clock
        self._name = name
        self._changed = threading.Condition()
        self._begun: dict[int, tuple[float, Look]] = {}
        self._numbers = itertools.count()
        self._wakes_at = -math.inf
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float, look: Look) -> int:
        """Begin a deadline and return its number.

        Args:
            seconds: from now.
            look: called then. It returns after how many seconds to look again; None ends the deadline. It must be quick
                and raise nothing, because all others wait for it.
        """
        at = self._clock.monotonic() + seconds
        with self._changed:
            number = next(self._numbers)
            self._begun[number] = (at, look)
            if self._thread is None:
                # Not before it is needed: threads of a process do not survive its fork.
                self._thread = threading.Thread(target=self._watch, name=self._name, daemon=True)
                self._thread.start()
            elif at < self._wakes_at:
                self._changed.notify()
        return number

    def end(self, number: int) -> None:
        """End a deadline that was met. When this returns, `look` is not running and will not be called any more."""
        with self._changed:
            self._begun.pop(number, None)

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = self._clock.monotonic()
                for number, (at, look) in list(self._begun.items()):
                    if at <= now:
                        again_s = look()
                        if again_s is None:
                            del self._begun[number]
                        else:
                            self._begun[number] = (now + again_s, look)
                first = min((at for at, _ in self._begun.values()), default=math.inf)
                self._wakes_at = min(first, now + _LONGEST_SLEEP_S)
                self._changed.wait(max(0.001, self._wakes_at - now))
