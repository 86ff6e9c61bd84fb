"""What a claim plans at a host, from what is known of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from ingest.dispatch.pace import LOOK_AHEAD_S, STEADY_LOOK_AHEAD_S, HostPace, Plan, effective_rate, plan_starts

KNOWN = HostPace(
    rate=10.0,
    next_s=-5.0,
    closed_s=-5.0,
    is_shut=False,
    is_steady=False,
    floor_s=0.1,
    under_way=0,
    planned=0,
)
"""A host that may be asked now, ten times a second, and has nothing to do for us."""


def plan(pace: HostPace, *, max_rate: float = 500.0, max_concurrency: int = 64, ahead_s: float | None = None) -> Plan:
    """Plan within bounds that do not matter unless given."""
    return plan_starts(pace, max_rate=max_rate, max_concurrency=max_concurrency, ahead_s=ahead_s)


def test_starts_are_spaced_by_the_rate_up_to_the_look_ahead_and_the_next_one_follows_them() -> None:
    """The first one as soon as its task can be there."""
    planned = plan(KNOWN)

    assert planned.starts == pytest.approx([0.1 + n / 10 for n in range(19)])
    assert planned.next_s == pytest.approx(2.0)
    assert not planned.waits


@pytest.mark.parametrize(
    ("pace", "ahead_s", "starts"),
    [
        (KNOWN, None, round((LOOK_AHEAD_S - 0.1) * 10)),
        (replace(KNOWN, is_steady=True), None, round((STEADY_LOOK_AHEAD_S - 0.1) * 10)),
        (KNOWN, 10.0, 99),
        (replace(KNOWN, is_steady=True), 10.0, 99),
    ],
    ids=["tried-faster", "steady", "given", "given-and-steady"],
)
def test_a_steady_host_is_planned_for_longer_unless_the_time_is_given(
    pace: HostPace, ahead_s: float | None, starts: int
) -> None:
    assert len(plan(pace, ahead_s=ahead_s).starts) == starts


@pytest.mark.parametrize(("most", "starts"), [(0, 0), (5, 5), (19, 19), (100, 19)])
def test_no_more_is_planned_than_the_claim_can_use(most: int, starts: int) -> None:
    """The next start follows the last one that is."""
    planned = plan_starts(KNOWN, max_rate=500.0, max_concurrency=64, most=most)

    assert len(planned.starts) == starts
    assert planned.next_s == pytest.approx(0.1 + starts / 10)


@pytest.mark.parametrize(("next_s", "closed_s"), [(1.5, -5.0), (-5.0, 1.5), (1.5, 0.5)])
def test_nothing_starts_before_the_hosts_next_start_or_the_end_of_its_pause(next_s: float, closed_s: float) -> None:
    planned = plan(replace(KNOWN, next_s=next_s, closed_s=closed_s))

    assert planned.starts == pytest.approx([1.5, 1.6, 1.7, 1.8, 1.9])


def test_a_host_whose_pause_lasts_as_long_as_the_look_ahead_is_left_alone() -> None:
    """Its next start stays where it is."""
    assert plan(replace(KNOWN, next_s=0.7, closed_s=LOOK_AHEAD_S)) == Plan((), 0.7)
    assert plan(replace(KNOWN, next_s=0.7, closed_s=LOOK_AHEAD_S - 0.01)).starts


def test_a_start_that_is_planned_for_later_leaves_nothing_to_plan_now() -> None:
    """However much later: there are no fewer than no starts."""
    planned = plan(replace(KNOWN, next_s=30.0))

    assert (planned.starts, planned.next_s) == ((), 30.0)


def test_one_image_tries_a_shut_host_and_the_next_may_after_the_look_ahead() -> None:
    shut = replace(KNOWN, is_shut=True, next_s=0.5)

    assert plan(shut) == Plan((0.5,), 0.5 + LOOK_AHEAD_S)


@pytest.mark.parametrize(("under_way", "planned"), [(1, 0), (0, 1)])
def test_nobody_else_tries_a_shut_host_while_one_does(under_way: int, planned: int) -> None:
    busy = replace(KNOWN, is_shut=True, next_s=0.5, under_way=under_way, planned=planned)

    assert plan(busy) == Plan((), 0.5)


def test_a_host_with_more_under_way_than_its_rate_explains_is_waited_for() -> None:
    """10 a second that take 0.15 s and 0.45 s to be reported are 6, and 2 may be late: 4 too many take 0.4 s."""
    within = plan(replace(KNOWN, under_way=8))
    beyond = plan(replace(KNOWN, under_way=12))

    assert (within.starts[0], within.waits) == (0.1, False)
    assert beyond.starts[0] == pytest.approx(0.4)
    assert beyond.waits


def test_a_host_that_has_not_answered_yet_is_taken_to_need_a_fifth_of_a_second() -> None:
    """10 a second that take 0.3 s and 0.45 s to be reported are 7.5, and 2 may be late."""
    unknown = replace(KNOWN, floor_s=None)

    assert not plan(replace(unknown, under_way=9)).waits
    assert plan(replace(unknown, under_way=12)).starts[0] == pytest.approx(0.25)


def test_waiting_for_what_is_under_way_does_not_bring_a_later_start_forward() -> None:
    assert plan(replace(KNOWN, under_way=12, next_s=1.0)).starts[0] == 1.0


@pytest.mark.parametrize(
    ("under_way", "planned", "starts"),
    [(0, 0, 8), (2, 3, 3), (0, 8, 0), (0, 20, 0)],
    ids=["none", "some", "all", "over"],
)
def test_four_times_what_may_be_under_way_is_planned_at_most(under_way: int, planned: int, starts: int) -> None:
    """With what has begun and what others have planned: it would only wait for our own compressors."""
    pace = replace(KNOWN, under_way=under_way, planned=planned, own_leased=1)

    assert len(plan(pace, max_concurrency=2).starts) == starts


@pytest.mark.parametrize(
    ("max_concurrency", "own_leased", "starts"),
    [(64, 0, 10), (64, 7, 3), (64, 10, 0), (64, 30, 0), (2, 0, 1), (2, 1, 0), (9999, 0, 10)],
)
def test_a_batch_has_a_few_images_of_a_host_whatever_others_have_of_it(
    max_concurrency: int, own_leased: int, starts: int
) -> None:
    """Or a small one would wait until large ones leave room; of a host that bears little it is one."""
    full = replace(KNOWN, planned=4 * max_concurrency, own_leased=own_leased)

    assert len(plan(full, max_concurrency=max_concurrency).starts) == starts


@pytest.mark.parametrize(
    ("sharers", "own", "starts"),
    [(1, 15, 19), (2, 0, 10), (2, 4, 6), (2, 10, 0), (2, 14, 0), (3, 0, 7), (1000, 0, 1), (1000, 1, 0)],
)
def test_batches_that_share_a_host_have_equal_parts_of_the_look_ahead(sharers: int, own: int, starts: int) -> None:
    """What a batch has planned already counts for its part; one start at a time is everybody's."""
    assert len(plan(replace(KNOWN, sharers=sharers, own=own)).starts) == starts


def test_the_start_after_the_planned_ones_keeps_the_distance() -> None:
    planned = plan(replace(KNOWN, sharers=4))
    gaps = [after - before for before, after in pairwise([*planned.starts, planned.next_s])]

    assert gaps == pytest.approx([0.1] * 5)


@pytest.mark.parametrize(
    ("rate", "floor_s", "expected"),
    [
        (10.0, None, 10.0),
        (80.0, None, 50.0),
        (80.0, 0.01, 50.0),
        (80.0, 0.2, 20.0),
        (10.0, 0.2, 10.0),
        (80.0, 0.0, 50.0),
    ],
)
def test_the_rate_keeps_to_its_own_bound_and_to_that_of_images_under_way(
    rate: float, floor_s: float | None, expected: float
) -> None:
    """Four at once that take 0.2 s are 20 a second."""
    pace = replace(KNOWN, rate=rate, floor_s=floor_s)

    assert effective_rate(pace, max_rate=50.0, max_concurrency=4) == pytest.approx(expected)


def test_an_answer_in_no_time_is_taken_as_one_in_a_millisecond() -> None:
    assert effective_rate(replace(KNOWN, rate=1e6, floor_s=0.0), max_rate=1e6, max_concurrency=4) == 4000.0
