"""When the next images of a host may start, from what was learned of it.

A claim plans a few seconds ahead and no further: what is planned cannot be taken back when the host begins to refuse.
How outcomes change the pace is the function `pace_after` of the database (state/schema.sql), simulated in `bench/pace`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from chassis.limited import Limited

LOOK_AHEAD_S = 2.0
"""Seconds for which starts are planned while a host is still asked faster from sample to sample."""

STEADY_LOOK_AHEAD_S = 4.0
"""The same once its limit is known: fewer claims. With 10 s a host that queues or refuses is found out too late."""

CLAIM_BEFORE_S = 1.0
"""A batch claims again so long before the last planned start of a host: its tasks have to be created by then."""

CLAIM_EVERY_S = 1.0
"""Seconds between two claims of a batch at least, so that the pages of a fast host are full ..."""

RISING_CLAIM_EVERY_S = 0.3
RISING_BELOW = 100.0
"""... and while a host is tried faster, below so many images a second: then a claim follows each change of its pace."""

SHARED_TASK_S = 0.5
"""Seconds that the images of one task take together, about; with more a host would seem to be late with its answers."""

MAX_TASK_IMAGES: Annotated[
    int,
    Limited("images", "the next task has the rest", "Known images that one task carries", internal=True),
] = 20

_FIRST_START_S = 0.1  # a task needs as long to be created
_UNKNOWN_FLOOR_S = 0.2
_EXPLAINED = 1.5
_REPORTED_AFTER_S = 0.45
_SLACK = 2.0
_MOST = 4
_OWN_ROOM = 10


@dataclass(frozen=True, slots=True)
class HostPace:
    """What a claim must know of a host; moments are seconds from now, negative ones have passed.

    Args:
        rate: starts a second.
        next_s: when the next image may start.
        closed_s: until when none may start.
        is_shut: nothing good came for so long that one image has to try first.
        is_steady: the rate that it does not bear is known.
        floor_s: seconds to the first byte when the host is not busy; None while unknown.
        under_way: images that have started and not ended, over all batches.
        planned: images that will start later, over all batches.
        own: those of them that belong to the batch that asks.
        own_leased: the same with those that are under way.
        sharers: batches that have due images of this host.
    """

    rate: float
    next_s: float
    closed_s: float
    is_shut: bool
    is_steady: bool
    floor_s: float | None
    under_way: int
    planned: int
    own: int = 0
    own_leased: int = 0
    sharers: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Starts in seconds from now, when the one after them may be, and whether they wait for what is under way."""

    starts: Sequence[float]
    next_s: float
    waits: bool = False


def plan_starts(
    pace: HostPace, *, max_rate: float, max_concurrency: int, ahead_s: float | None = None, most: int | None = None
) -> Plan:
    """Return the starts that a claim may plan at a host now.

    Args:
        pace: of the host.
        max_rate: bound of the rate.
        max_concurrency: bound of what is under way at once, kept by the rate that the floor allows.
        ahead_s: seconds for which starts are planned; None: as the host's state asks for.
        most: starts that the claim can use.
    """
    if ahead_s is None:
        ahead_s = STEADY_LOOK_AHEAD_S if pace.is_steady else LOOK_AHEAD_S
    if pace.closed_s >= ahead_s:
        return Plan((), pace.next_s)
    first = max(pace.next_s, pace.closed_s, _FIRST_START_S)
    if pace.is_shut:
        free = pace.under_way + pace.planned == 0
        return Plan((first,), first + ahead_s) if free else Plan((), pace.next_s)
    rate = effective_rate(pace, max_rate=max_rate, max_concurrency=max_concurrency)
    floor_s = _UNKNOWN_FLOOR_S if pace.floor_s is None else pace.floor_s
    # More under way than the rate explains: the host queues, or does not answer at all. Wait until that is gone.
    unexplained = pace.under_way - rate * (_EXPLAINED * floor_s + _REPORTED_AFTER_S) - _SLACK
    waits = unexplained > 0
    if waits:
        first = max(first, unexplained / rate)
    # What is in flight and not done may wait for our own compressors, whatever the host bears: plan no more on top than
    # they do in a few seconds, or a small batch that comes would wait behind it. That one must not wait for room that
    # others leave either, so each batch may have a few.
    room = _MOST * max_concurrency - pace.under_way - pace.planned
    room = max(room, max(1, min(_OWN_ROOM, max_concurrency // 6)) - pace.own_leased)
    count = max(0, min(math.ceil((ahead_s - first) * rate), room))
    if pace.sharers > 1:
        share = max(1, math.ceil(rate * ahead_s / pace.sharers))
        count = min(count, max(0, share - pace.own))
    if most is not None:
        count = min(count, most)
    return Plan(tuple(first + number / rate for number in range(count)), first + count / rate, waits)


def effective_rate(pace: HostPace, *, max_rate: float, max_concurrency: int) -> float:
    """Return the starts a second within the bounds: so many as are under way at once do not pass `max_concurrency`."""
    rate = min(pace.rate, max_rate)
    return rate if pace.floor_s is None else min(rate, max_concurrency / max(pace.floor_s, 0.001))


def task_images(*, rate: float, first_byte_s: float) -> int:
    """Return how many images of a host one task may carry, which are asked for one after the other.

    Args:
        rate: starts a second.
        first_byte_s: that the host has usually needed lately.
    """
    return max(1, min(MAX_TASK_IMAGES, math.floor(SHARED_TASK_S / max(first_byte_s, 1 / rate))))
