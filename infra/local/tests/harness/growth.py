"""Measures how the processor time of a parser grows with its input, and judges whether it is linear.

A short run says little, so the size is doubled until the smallest one takes 20 ms, or until the largest one would be
refused before anything looks at it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOST_GROWTH = 2.6
"""Times the processor time may grow by when the input doubles: 2 is linear, 4 is quadratic."""

SHORTEST_RUN_S = 0.02
HARMLESS_S = 0.1
"""What the largest input that gets so far may take, whatever the growth up to there."""

ROUNDS = 9
"""How often a growth that looks worse is measured again: others use the processor, too, and disturb its caches."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Processor time, in seconds, of an input of `size`, of twice and of four times that size."""

    size: int
    seconds: tuple[float, float, float]

    @property
    def is_linear(self) -> bool:
        """Return whether the last doubling, or the mean of both, cost at most `MOST_GROWTH` times as much.

        A single doubling says little: tables that outgrow the processor's caches cost more than twice, once. The
        largest input may be harmless, too.
        """
        once, twice, four_times = self.seconds
        return (
            four_times <= HARMLESS_S
            or four_times <= MOST_GROWTH * twice
            or four_times <= MOST_GROWTH * MOST_GROWTH * once
        )


def measure_growth(make: Callable[[int], Any], run: Callable[[Any], object], *, most: int, start: int = 500) -> Growth:
    """Return the growth of `run(make(size))`.

    Args:
        make: returns an input of about `size` characters or bytes.
        run: looks at it; what it raises is its own business.
        most: the largest input that gets so far; the last of the three sizes is at most this.
        start: the smallest size that is tried.
    """
    size = start
    while _seconds(make(size), run) < SHORTEST_RUN_S and size * 8 <= most:
        size *= 2
    inputs = [make(size * factor) for factor in (1, 2, 4)]
    shortest = [_seconds(value, run) for value in inputs]
    growth = Growth(size, (shortest[0], shortest[1], shortest[2]))
    for _ in range(ROUNDS):
        if growth.is_linear:
            break
        shortest = [min(before, _seconds(value, run)) for before, value in zip(shortest, inputs, strict=True)]
        growth = Growth(size, (shortest[0], shortest[1], shortest[2]))
    return growth


def _seconds(value: Any, run: Callable[[Any], object]) -> float:
    gc.disable()
    begin = time.process_time()
    try:
        run(value)
        return time.process_time() - begin
    finally:
        gc.enable()
