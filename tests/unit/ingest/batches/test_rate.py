"""Progress, pace and what is left: numbers that a progress bar can trust."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batches.rate import MIN_ENDED_IMAGES, progress_percent, rate_of
from ingest.state.batch import Batch, BatchStatus
from support.ingest_service import Lab

A = "https://a.example/1.jpg"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def make_batch(**changes: Any) -> Batch:
    """Return a batch of 100 images that began 50 s ago and has ended 40."""
    values: dict[str, Any] = dict.fromkeys(Batch.__dataclass_fields__)
    values |= {
        "status": BatchStatus.PROCESSING,
        "generation": 1,
        "total": 100,
        "pending": 60,
        "succeeded": 30,
        "failed": 10,
        "started_at": NOW - timedelta(seconds=50),
    }
    return Batch(**values | changes)


@pytest.mark.feature("27")
@given(total=st.integers(1, 100_000), steps=st.lists(st.integers(1, 2000), max_size=60))
def test_progress_rises_and_reaches_100_only_at_the_end(total: int, steps: list[int]) -> None:
    """Whatever ends in whatever portions: never back, below 100 until the batch is finished, exactly 100 then."""
    batch = make_batch(total=total, pending=total, succeeded=0, failed=0)
    shown = [progress_percent(batch)]
    for step in steps:
        ended = min(step, batch.pending)
        batch = replace(batch, pending=batch.pending - ended, succeeded=batch.succeeded + ended)
        shown.append(progress_percent(batch))

    assert shown == sorted(shown)
    assert shown[0] == 0.0
    assert max(shown) <= 99.9
    assert progress_percent(replace(batch, status=BatchStatus.COMPLETED)) == 100.0


@pytest.mark.feature("28")
def test_the_time_left_follows_the_rate_since_the_start() -> None:
    """40 images in 50 s are 0.8 a second; 60 more take 75 s."""
    assert rate_of(make_batch(), NOW) == {"images_per_s": 0.8, "eta_seconds": 75}


@pytest.mark.feature("28")
@pytest.mark.parametrize(
    "changes",
    [
        {"started_at": None},
        {"generation": 2},
        {"pending": 100 - MIN_ENDED_IMAGES + 1, "succeeded": MIN_ENDED_IMAGES - 1, "failed": 0},
        {"started_at": NOW},
    ],
    ids=["not begun", "tried again", "too few", "this moment"],
)
def test_what_is_not_known_is_not_said(changes: dict[str, Any]) -> None:
    """Null instead of a guess."""
    assert rate_of(make_batch(**changes), NOW) == {"images_per_s": None, "eta_seconds": None}


def test_the_rate_of_an_ended_batch_stays_as_it_was() -> None:
    """Measured up to its last image, and nothing is left, however few images there were."""
    sealed = {"sealed_at": NOW, "pending": 0}

    ended = rate_of(make_batch(succeeded=90, **sealed), NOW + timedelta(days=1))
    small = rate_of(make_batch(total=3, succeeded=3, failed=0, **sealed), NOW)

    assert (ended, small) == (
        {"images_per_s": 2.0, "eta_seconds": 0},
        {"images_per_s": None, "eta_seconds": 0},
    )


@pytest.mark.feature("20", "21")
def test_the_status_has_pace_expiry_and_what_was_deduplicated(lab: Lab) -> None:
    """100 slots with 50 different images: 50 downloads, 50 spared, and a day until the rest would expire."""
    request_id = lab.submit(*[f"{A}?{number} {A}?{number}" for number in range(50)])
    execution = lab.start(request_id)
    payloads = lab.claim(request_id, execution)
    lab.change("UPDATE batches SET started_at = now() - interval '10 seconds'")
    for payload in payloads[:25]:
        lab.report(payload)

    status = lab.status(request_id)

    assert (len(payloads), status["deduplicated"], status["progress_percent"]) == (50, 50, 50.0)
    assert status["images_per_s"] == pytest.approx(5.0, rel=0.2)
    assert status["eta_seconds"] == pytest.approx(10, abs=3)
    created, expires = (datetime.fromisoformat(status[key]) for key in ("created_at", "expires_at"))
    assert expires - created == timedelta(days=1)


def test_a_retry_does_not_change_what_was_deduplicated(lab: Lab) -> None:
    """The count is that of the sheet."""
    request_id = lab.submit(f"{A} {A}")
    execution = lab.start(request_id)
    lab.report(lab.claim(request_id, execution)[0], outcome="FAILED", code="HTTP_4XX")
    lab.finish(request_id, execution)

    lab.post("/retry", {"request_id": request_id})

    assert lab.status(request_id)["deduplicated"] == 1
