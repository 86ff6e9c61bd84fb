"""Fair share by cost: what a batch may have under way is counted in work, so that costly images keep nobody waiting."""

from __future__ import annotations

import math
from dataclasses import replace
from uuid import UUID

import pytest
from bench.pace.real import ENVIRON
from bench.simulation.world import Machines, Planned, World
from sqlalchemy import Connection, Engine, text

from chassis.db.engine import transact
from ingest.dispatch.window import COSTLY_WINDOW_S, FIRST_WORK_S, Work, window_images, window_left
from ingest.settings import IngestSettings
from ingest.state.batch_status import measure_batch
from ingest.state.images import USUAL_COST_S
from support.ingest_service import Lab, MakeLab

A = "https://a.example/1.jpg"
MEGAPIXELS_45_S = 1.3
"""Seconds of a picture of 45 megapixels in the codec."""


def started(lab: Lab, images: int) -> tuple[str, str]:
    """Upload a batch of so many images and start it; return both ids."""
    request_id = lab.submit(*[f"{A}?{n}" for n in range(images)])
    return request_id, lab.start(request_id)


@pytest.mark.fault("F25")
def test_images_that_cost_as_usual_are_a_hundred_at_first_and_costly_ones_as_few_as_cost_the_same() -> None:
    """Counted by work: never more than `FIRST_WORK_S`, as long as the batch has not shown that more is done in time.

    What is reused costs as good as nothing in the codec, but compressors have to ask for it.
    """
    costs = (0.0, 0.001, USUAL_COST_S, 0.1, 1.0, MEGAPIXELS_45_S, 10.0)

    windows = {cost: window_images(Work(cost_s=cost), first_images=10) for cost in costs}

    assert [windows[cost] for cost in costs[:3]] == [500, 500, 100]
    assert all(1 <= windows[cost] <= max(1.0, FIRST_WORK_S / cost) for cost in costs[3:])
    assert window_images(Work(), first_images=10) == 10


@pytest.mark.parametrize(
    ("work", "images"),
    [
        (Work(images_per_s=100.0, all_work_per_s=5.0), 805),
        (Work(images_per_s=100.0, cost_s=0.125, all_work_per_s=12.5), 813),
        (Work(images_per_s=100.0, cost_s=0.125, all_work_per_s=10.0), 813),
        (Work(images_per_s=100.0, cost_s=0.125, all_work_per_s=9.0), 413),
        (Work(images_per_s=100.0, cost_s=0.125, owners=2, all_work_per_s=20.0), 813),
        (Work(images_per_s=100.0, cost_s=0.125, owners=2, all_work_per_s=19.0), 413),
        (Work(images_per_s=100.0, cost_s=0.125, owners=2, own_batches=2, all_work_per_s=40.0), 813),
        (Work(images_per_s=100.0, cost_s=0.125, owners=2, own_batches=2, all_work_per_s=39.0), 413),
        (Work(images_per_s=100.0, cost_s=0.2, all_work_per_s=20.0), 820),
        (Work(images_per_s=100.0, cost_s=0.25, all_work_per_s=25.0), 225),
    ],
    ids=[
        "cost-unknown",
        "its-share",
        "a-quarter-more",
        "more-than-that",
        "half",
        "more-than-half",
        "quarter",
        "more-than-a-quarter",
        "not-yet-costly",
        "costly",
    ],
)
def test_a_batch_may_have_what_it_does_in_eight_seconds_four_beyond_its_share_and_two_if_its_images_are_costly(
    work: Work, images: int
) -> None:
    """And as much longer as one image takes; a quarter more than the share is none beyond it."""
    assert window_images(work, first_images=10) == pytest.approx(images, abs=1)


@pytest.mark.parametrize(
    ("work", "images"),
    [
        (Work(), 10),
        (Work(cost_s=USUAL_COST_S), 100),
        (Work(cost_s=10 * USUAL_COST_S), 10),
        (Work(cost_s=1000.0), 1),
        (Work(cost_s=USUAL_COST_S, owners=20), 50),
        (Work(cost_s=USUAL_COST_S, owners=100_000), 10),
        (Work(owners=100_000), 10),
    ],
    ids=["unknown", "usual", "costly", "a-monster", "many-owners", "very-many", "very-many-and-unknown"],
)
def test_the_sweepers_first_window_is_ten_times_as_large_and_its_later_ones_last_longer(
    work: Work, images: int
) -> None:
    """It comes once a minute; even where very many are at work everybody has a few images."""
    busy = replace(work, images_per_s=1000.0)
    more = window_images(busy, first_images=10, ahead_s=60.0) - window_images(busy, first_images=10)

    assert window_images(work, first_images=10) == pytest.approx(images, abs=1)
    assert window_images(work, first_images=10, ahead_s=60.0) == 10 * images
    assert more == 60_000


@pytest.mark.parametrize("cost_s", [USUAL_COST_S, 0.15, 1.0, 10.0])
def test_a_batch_that_is_alone_comes_to_use_all_processors(cost_s: float) -> None:
    """However few images it begins with: the window grows until the compressors are busy."""
    processors, images_per_s = 8, 0.0

    for _ in range(40):
        window = window_images(Work(images_per_s, cost_s, all_work_per_s=images_per_s * cost_s), first_images=10)
        images_per_s = min(processors, window) / cost_s

    assert images_per_s * cost_s == processors
    assert window * cost_s / processors < 10 + cost_s


@pytest.mark.parametrize(
    ("of_batch", "refill_s"),
    [
        ("images_per_s = 0", 1.0),
        ("images_per_s = 40, costed = 9, image_cost_s = 0.05", 2.0),
        ("images_per_s = 1, costed = 9, image_cost_s = 0.05", 2.0),
        ("images_per_s = 50, costed = 9, image_cost_s = 1.0", 0.5),
        ("images_per_s = 0.5, costed = 9, image_cost_s = 1.0", 0.5),
    ],
    ids=["not measured", "fast", "slow", "costly", "costly and slow"],
)
def test_a_full_window_is_refilled_when_a_quarter_of_it_has_ended_or_of_its_time_is_over(
    lab: Lab, of_batch: str, refill_s: float
) -> None:
    """At the pace of late; costly images have a window of two seconds."""
    request_id, _ = started(lab, 4)
    lab.change(f"UPDATE batches SET {of_batch}, measured_at = now() + interval '1 min'")

    left = transact(lab.engine, lambda c: window_left(c, lab.settings, UUID(request_id), ahead_s=None))

    assert left.refill_s == pytest.approx(refill_s, rel=0.1)


@pytest.mark.parametrize(("before", "expected"), [(0.0, 60.0), (10.0, 25.0), (60.0, 60.0)])
def test_what_a_batch_gets_done_is_a_mean_in_which_the_last_seconds_count_for_a_third(
    lab: Lab, before: float, expected: float
) -> None:
    """Among many batches the images of one end in bursts; a window after each burst would fill the queue."""
    request_id, _ = started(lab, 4)
    lab.change(f"UPDATE batches SET images_per_s = {before}, measured_ended = -120")

    def work(connection: Connection) -> float:
        connection.execute(text("UPDATE batches SET measured_at = now() - interval '2 s'"))
        return measure_batch(connection, UUID(request_id)).images_per_s

    assert transact(lab.engine, work) == pytest.approx(expected)


def test_owners_come_to_equal_shares_of_the_work_whoever_came_first() -> None:
    """Tasks wait in one queue: what an owner gets done is its part of the work that waits there."""
    cost_s, work_per_s = (0.05, 0.1), 8.0
    windows = [1280.0, 50.0]

    for _ in range(30):
        waiting_s = sum(window * cost for window, cost in zip(windows, cost_s, strict=True))
        rates = [work_per_s * window / waiting_s for window in windows]
        windows = [
            window_images(Work(rate, cost, owners=2, all_work_per_s=work_per_s), first_images=10)
            for rate, cost in zip(rates, cost_s, strict=True)
        ]

    first, second = (rate * cost for rate, cost in zip(rates, cost_s, strict=True))
    assert 0.6 < first / second < 1.7


@pytest.mark.fault("F25")
def test_what_an_image_costs_is_learned_from_a_few_before_the_others_are_handed_out(make_lab: MakeLab) -> None:
    """Ten at first; then as many as their work allows."""
    lab = make_lab(INGEST_FIRST_IN_FLIGHT="10")
    costly, cheap = started(lab, 60), started(lab, 60)
    # Two seconds later their rates would be measured, which is another rule: on a busy machine this takes longer.
    lab.change("UPDATE batches SET measured_at = now() + interval '1 hour'")
    first = [lab.claim(*batch) for batch in (costly, cheap)]

    for payloads, codec_ms in zip(first, (1300, 5), strict=True):
        for payload in payloads:
            lab.report(payload, codec_ms=codec_ms)
    then = [lab.claim(*batch) for batch in (costly, cheap)]

    assert [len(payloads) for payloads in first] == [10, 10]
    assert (len(then[0]), len(then[1])) == (math.floor(FIRST_WORK_S / 1.3), 50)


def left(lab: Lab, request_id: str, ahead_s: float | None = None) -> int:
    """Return how many more images of a batch may have tasks that no earlier batch has compressed."""
    return transact(lab.engine, lambda c: window_left(c, lab.settings, UUID(request_id), ahead_s=ahead_s)).unknown


@pytest.mark.parametrize(
    ("window", "under_way", "more"), [(10, 0, 10), (10, 7, 3), (10, 8, 0), (8, 6, 2), (8, 7, 0), (8, 8, 0)]
)
def test_a_window_is_refilled_when_a_quarter_of_it_is_free(
    make_lab: MakeLab, window: int, under_way: int, more: int
) -> None:
    """So pages are few and large."""
    lab = make_lab(INGEST_FIRST_IN_FLIGHT=str(window))
    request_id, execution = started(lab, 20)
    if under_way:
        lab.claim(request_id, execution, max_rows=under_way)

    assert left(lab, request_id) == more


def test_a_window_of_few_is_full_when_it_has_shrunk_below_what_is_under_way(make_lab: MakeLab) -> None:
    """Never fewer than none may be added."""
    lab = make_lab(INGEST_FIRST_IN_FLIGHT="10")
    request_id, execution = started(lab, 20)
    lab.claim(request_id, execution)
    lab.change("UPDATE batches SET costed = 3, image_cost_s = 10")

    assert left(lab, request_id) == 0


def test_the_sweeper_may_hand_out_more_and_nobody_more_than_the_limit(make_lab: MakeLab) -> None:
    lab = make_lab(INGEST_FIRST_IN_FLIGHT="10", INGEST_MAX_IN_FLIGHT="70")
    request_id, _ = started(lab, 1)

    assert (left(lab, request_id), left(lab, request_id, ahead_s=60.0)) == (10, 70)


@pytest.mark.parametrize(("costed", "images"), [(2, 10), (3, 25)])
def test_costs_count_when_three_images_have_told_them(make_lab: MakeLab, costed: int, images: int) -> None:
    """Until then nobody knows; a usual cost is expected of all."""
    lab = make_lab(INGEST_FIRST_IN_FLIGHT="10")
    request_id, _ = started(lab, 1)
    lab.change("UPDATE batches SET costed = :n, image_cost_s = 0.2", n=costed)

    assert left(lab, request_id) == images


@pytest.mark.parametrize(
    ("other", "seconds"),
    [
        ("images_per_s = 0", 4),
        ("images_per_s = 400", 8),
        ("images_per_s = 400, measured_at = now() - interval '20 s'", 4),
        ("images_per_s = 10, costed = 3, image_cost_s = 2", 8),
        ("images_per_s = 10, costed = 2, image_cost_s = 2", 4),
        ("images_per_s = 400, status = 'PENDING', started_at = NULL", 8),
    ],
    ids=["idle", "busy", "busy-long-ago", "costly", "costs-unknown", "not-begun"],
)
def test_the_share_is_of_the_work_that_batches_have_done_lately(make_lab: MakeLab, other: str, seconds: int) -> None:
    """A batch alone at work has all of it, so nothing is beyond its share; of two it is a half."""
    lab = make_lab(INGEST_MAX_IN_FLIGHT="100000")
    (own, _), (rival, _) = started(lab, 1), started(lab, 1)
    lab.change("UPDATE batches SET images_per_s = 100, measured_at = now()")
    lab.change("UPDATE batches SET owner = 'rival' WHERE request_id = :b", b=rival)
    lab.change(f"UPDATE batches SET {other} WHERE request_id = :b", b=rival)

    assert left(lab, own) == math.ceil(100 * (seconds + USUAL_COST_S))


def test_what_fails_in_the_codec_counts_and_a_compressor_that_says_nothing_is_taken_as_usual(lab: Lab) -> None:
    """Ten seconds for a picture that cannot be decoded are work; releases before 0018 do not tell."""
    request_id, execution = started(lab, 3)
    payloads = lab.claim(request_id, execution)

    lab.report(payloads[0], outcome="FAILED", code="DECODE_TIMEOUT", codec_ms=10_000)
    lab.report(payloads[1], codec_ms=None)

    row = lab.batch_row(request_id)
    assert (row["costed"], row["image_cost_s"]) == (2, pytest.approx((10 + USUAL_COST_S) / 2))


def test_the_mean_follows_the_last_twenty_images(lab: Lab) -> None:
    """A sheet may have its large pictures at its end."""
    request_id, execution = started(lab, 60)
    lab.change("UPDATE batches SET costed = 1000, image_cost_s = 0.01")

    for payload in lab.claim(request_id, execution):
        lab.report(payload, codec_ms=1000)

    assert lab.batch_row(request_id)["image_cost_s"] > 0.9


def test_an_owner_with_many_batches_has_no_larger_share_than_one_with_a_single_batch(lab: Lab) -> None:
    """Shares are those of owners; its own batches divide an owner's."""
    (many, many_execution), (one, one_execution) = started(lab, 120), started(lab, 120)
    lab.change("UPDATE batches SET owner = 'one' WHERE request_id = :b", b=one)
    lab.change(
        "INSERT INTO batches SELECT (jsonb_populate_record(b, jsonb_build_object('request_id', gen_random_uuid()))).*"
        " FROM batches b, generate_series(1, 24) WHERE b.request_id = :b",
        b=many,
    )

    claimed = [len(lab.claim(*batch)) for batch in ((many, many_execution), (one, one_execution))]

    assert claimed[0] == 1_000 // 2 // 25
    assert claimed[1] > 75


@pytest.mark.fault("F25")
def test_ten_small_images_wait_no_longer_than_for_the_work_that_another_owner_may_have_under_way(
    own_time_engine: Engine,
) -> None:
    """40 pictures of 45 megapixels on two processors, which take 26 s: a small batch waits for a few of them."""
    limits = "big.example=1000/9999,small.example=1000/9999"
    settings = IngestSettings.from_environ({**ENVIRON, "INGEST_HOST_LIMITS": limits})
    large = Planned(40, ["big.example"], codec_s=MEGAPIXELS_45_S, owner="large")
    small = Planned(10, ["small.example"], begins_s=3.0, codec_s=0.01, owner="small")
    processors = 2
    # In the two seconds that a rate is measured over, each processor ends two pictures at most.
    fastest_per_s = processors * (math.floor(2 / MEGAPIXELS_45_S) + 1) / 2
    images = max(settings.first_in_flight, math.ceil(fastest_per_s * (COSTLY_WINDOW_S + MEGAPIXELS_45_S)))

    seen = World(own_time_engine, settings, Machines(processors=processors)).run([large, small])

    assert seen.took_s[1] <= images * MEGAPIXELS_45_S / processors + 1.0
    assert seen.took_s[0] < 27
    assert seen.twice == 0
