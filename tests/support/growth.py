"""How processor time grows with an input: what a stranger sends must be read in time linear in its bytes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

MAX_GROWTH = 2.6
"""Most that twice the input may take of the processor time of once; 2 is linear, 4 is quadratic."""

MIN_RUN_S = 0.02
"""Shortest run that is compared: below it, the clock and the machine's noise count for too much."""

_MAX_RUNS = 9
_MAX_SIZE = 1 << 20

T = TypeVar("T", str, bytes)


def growth(make: Callable[[int], T], work: Callable[[T], object], *, size: int, most: int | None = None) -> float:
    """Return how much more processor time the work takes per doubling, measured at n, 2n and, in doubt, 4n.

    `size` is the least n; it is doubled until a run takes `MIN_RUN_S`, or until the input would have a MiB: what is as
    fast as that, is fast enough. Each figure is the least of some runs, in processor time of this process, and the
    result is the lower of the two growths, so that one disturbance is no finding: a first growth below the bound
    decides, and a result above it is measured again before it is believed.

    `most` is the largest n, for work whose tables outgrow the processor's caches: that costs more than twice for twice
    as much, whoever wrote it. There the work is repeated until a run is long enough.
    """
    last = most or _MAX_SIZE
    while (taken := _run_s(make(size), work)) < MIN_RUN_S and size * 2 <= last:
        size *= 2
    if taken < MIN_RUN_S and most is None:
        return 1.0
    repeats = max(1, round(MIN_RUN_S / taken))
    once, twice = make(size), make(size * 2)
    least = [float("inf")] * 3
    for _ in range(_MAX_RUNS):
        least[0] = min(least[0], _run_s(once, work, repeats))
        least[1] = min(least[1], _run_s(twice, work, repeats))
        if least[1] / least[0] < MAX_GROWTH:
            return least[1] / least[0]
        least[2] = min(least[2], _run_s(make(size * 4), work, repeats))
        if least[2] / least[1] < MAX_GROWTH:
            return least[2] / least[1]
    return min(least[1] / least[0], least[2] / least[1])


def _run_s(data: T, work: Callable[[T], object], repeats: int = 1) -> float:
    """Return the processor time of a run, without the garbage collector's: that depends on what else is in memory."""
    gc.disable()
    try:
        begun = time.process_time()
        for _ in range(repeats):
            work(data)
        return time.process_time() - begun
    finally:
        gc.enable()
