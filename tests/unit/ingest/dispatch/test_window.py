"""Fair share by cost: what a batch may have under way is counted in work, so that costly images keep nobody waiting."""

from __future__ import annotations

import math

import pytest
from bench.pace.real import ENVIRON
from bench.simulation.world import Machines, Planned, World
from sqlalchemy import Engine

from ingest.dispatch.window import COSTLY_WINDOW_S, FIRST_WORK_S, Work, window_images
from ingest.settings import IngestSettings
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
    """Counted by work: never more than `FIRST_WORK_S`, as long as the batch has not shown that more is done in time."""
    costs = (0.0, 0.001, USUAL_COST_S, 0.1, 1.0, MEGAPIXELS_45_S, 10.0)

    windows = {cost: window_images(Work(cost_s=cost), first_images=10) for cost in costs}

    assert [windows[cost] for cost in costs[:3]] == [100, 100, 100]
    assert all(1 <= windows[cost] <= max(1.0, FIRST_WORK_S / cost) for cost in costs[3:])
    assert window_images(Work(), first_images=10) == 10


@pytest.mark.parametrize("cost_s", [USUAL_COST_S, 0.15, 1.0, 10.0])
def test_a_batch_that_is_alone_comes_to_use_all_processors(cost_s: float) -> None:
    """However few images it begins with: the window grows until the compressors are busy."""
    processors, images_per_s = 8, 0.0

    for _ in range(40):
        window = window_images(Work(images_per_s, cost_s, all_work_per_s=images_per_s * cost_s), first_images=10)
        images_per_s = min(processors, window) / cost_s

    assert images_per_s * cost_s == processors
    assert window * cost_s / processors < 10 + cost_s


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
    first = [lab.claim(*batch) for batch in (costly, cheap)]

    for payloads, codec_ms in zip(first, (1300, 5), strict=True):
        for payload in payloads:
            lab.report(payload, codec_ms=codec_ms)
    then = [lab.claim(*batch) for batch in (costly, cheap)]

    assert [len(payloads) for payloads in first] == [10, 10]
    assert (len(then[0]), len(then[1])) == (math.floor(FIRST_WORK_S / 1.3), 50)


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
        " FROM batches b, generate_series(1, 249) WHERE b.request_id = :b",
        b=many,
    )

    claimed = [len(lab.claim(*batch)) for batch in ((many, many_execution), (one, one_execution))]

    assert claimed[0] == 10_000 // 2 // 250
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
