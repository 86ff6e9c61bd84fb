"""When a batch is claimed again: as soon as that can bring anything, and not before.

Each case is one transaction, whose time stands still.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text

from ingest.dispatch.next_claim import next_claim_s
from ingest.state.batch import BatchStatus, load_batch
from support.ingest_service import Lab

CALM = """
    UPDATE hosts SET rate = 500, ceiling = NULL, floor_log_s = NULL, blocked_until = now(), next_start_at = now(),
                     judged_from = now() - interval '1 hour'
"""
"""A host that may be asked now, and of which no answer is waited for."""


def wait_s(
    lab: Lab, *changes: str, is_cut: bool = False, refill_s: float | None = None, status: BatchStatus | None = None
) -> float:
    """Return the wait of a batch with two images of two hosts, after some changes of the database."""
    request_id = UUID(lab.submit("https://a.example/1.jpg https://b.example/1.jpg"))
    with lab.engine.begin() as connection:
        for change in (CALM, "UPDATE images SET next_at = now()", *changes):
            connection.execute(text(change))
        batch = load_batch(connection, request_id)
        if status is not None:
            batch = replace(batch, status=status)
        return next_claim_s(connection, batch, is_cut=is_cut, refill_s=refill_s)


def test_where_more_can_be_had_the_next_claim_follows_at_once(lab: Lab) -> None:
    assert wait_s(lab, is_cut=True) == 0.0


@pytest.mark.parametrize("status", [None, BatchStatus.CANCELLED])
def test_a_batch_without_open_images_or_that_has_ended_is_looked_at_each_minute(
    lab: Lab, status: BatchStatus | None
) -> None:
    """Even where the page was full."""
    done = () if status else ("UPDATE batches SET pending = 0, succeeded = 2",)

    assert wait_s(lab, *done, status=status, is_cut=True) == 60.0


@pytest.mark.parametrize("of_batch", ["cancel_requested = true", "deadline_at = now()"])
def test_what_is_overdue_is_ended_in_a_second_whatever_its_hosts_do(lab: Lab, of_batch: str) -> None:
    assert wait_s(lab, f"UPDATE batches SET {of_batch}", "UPDATE hosts SET blocked_until = now() + interval '9 s'") == 1


@pytest.mark.parametrize(
    ("images_per_s", "seconds"),
    [(0.0, 1.0), (0.5, 1.0), (90.0, 1.0), (180.0, 0.5), (200.0, 0.45), (300.0, 0.3), (1000.0, 0.3)],
)
def test_a_fast_batch_claims_as_often_as_its_pages_last(lab: Lab, images_per_s: float, seconds: float) -> None:
    """Ninety images a page; once a second at least, and three times at most."""
    of_batch = f"UPDATE batches SET images_per_s = {images_per_s}, deadline_at = now() + interval '1 day'"

    assert wait_s(lab, of_batch) == pytest.approx(seconds)


NO_IMAGE_IS_DUE = "UPDATE images SET status = 'DISPATCHED', lease_until = now() + interval '1 hour'"


@pytest.mark.parametrize(("lease_s", "seconds"), [(30.0, 30.0), (3600.0, 60.0), (1.5, 1.5), (0.5, 1.0), (-9.0, 1.0)])
def test_a_claim_follows_the_end_of_the_first_lease(lab: Lab, lease_s: float, seconds: float) -> None:
    """Within a minute, and not more than once a second."""
    first = f"UPDATE images SET lease_until = now() + interval '{lease_s} s' WHERE host = 'a.example'"

    assert wait_s(lab, NO_IMAGE_IS_DUE, first) == pytest.approx(seconds)


def test_a_batch_is_looked_at_each_minute_whatever_it_waits_for(lab: Lab) -> None:
    """One image is leased for an hour, and the host of the other is away for as long."""
    leased = f"{NO_IMAGE_IS_DUE} WHERE host = 'a.example'"

    assert wait_s(lab, leased, "UPDATE hosts SET blocked_until = now() + interval '1 hour'") == 60.0


def test_a_batch_that_waits_for_nothing_is_looked_at_each_minute(lab: Lab) -> None:
    """All its images repeat others whose outcome is on its way, say."""
    ended = "UPDATE images SET status = 'FAILED', finished_at = now()"

    assert wait_s(lab, ended) == 60.0


AWAY = "UPDATE hosts SET blocked_until = now() + interval '1 hour' WHERE host = 'b.example'"


@pytest.mark.parametrize(
    ("of_host", "seconds"),
    [
        ("blocked_until = now() + interval '20 s'", 18.0),
        ("blocked_until = now() + interval '20 s', ceiling = 9", 16.0),
        ("blocked_until = now() + interval '2.5 s'", 1.0),
        ("next_start_at = now() + interval '20 s'", 19.0),
        ("next_start_at = now() + interval '1.5 s'", 1.0),
        ("next_start_at = now() + interval '20 s', blocked_until = now() + interval '30 s'", 28.0),
        ("blocked_until = now() + interval '2 h', next_start_at = now() + interval '2 h'", 60.0),
    ],
    ids=["blocked", "blocked-and-steady", "soon-open", "planned", "soon-done", "both", "for-hours"],
)
def test_a_claim_follows_when_the_first_host_can_be_planned_for(lab: Lab, of_host: str, seconds: float) -> None:
    """So long before it may be asked as starts are planned ahead, or a second before its last planned start."""
    first = f"UPDATE hosts SET {of_host} WHERE host = 'a.example'"

    assert wait_s(lab, AWAY, first) == pytest.approx(seconds)


def test_a_claim_follows_when_the_first_image_is_due_again(lab: Lab) -> None:
    """Of those that may be asked for."""
    later = "UPDATE images SET next_at = now() + interval '20 s'"

    assert wait_s(lab, AWAY, later) == pytest.approx(20.0)


RISING = "next_start_at = now() + interval '20 s', rate = 20, floor_log_s = ln(0.1)"
"""A host that is tried faster, for which starts are planned for a long time."""


@pytest.mark.parametrize(
    ("of_host", "seconds"),
    [
        ("judged_from = now() + interval '0.5 s'", 1.05),
        ("judged_from = now() + interval '0.5 s', rate = 8", 1.3),
        ("judged_from = now() + interval '0.5 s', floor_log_s = NULL", 1.15),
        ("judged_from = now() + interval '0.5 s', floor_log_s = ln(2)", 2.95),
        ("judged_from = now() - interval '0.5 s'", 0.3),
        ("judged_from = now() - interval '1.5 s'", 0.3),
        ("judged_from = now() - interval '1.6 s'", 19.0),
        ("judged_from = now() + interval '0.5 s', rate = 99", 1.05),
        ("judged_from = now() + interval '0.5 s', rate = 100", 19.0),
        ("judged_from = now() + interval '0.5 s', ceiling = 30", 19.0),
        ("judged_from = now() + interval '0.5 s', opened_at = now()", 19.0),
        ("judged_from = now() + interval '30 s'", 19.0),
    ],
    ids=[
        "sample",
        "slow",
        "floor-unknown",
        "slow-to-answer",
        "any-moment",
        "a-second-late",
        "held-up",
        "nearly-fast",
        "fast",
        "steady",
        "shut",
        "in-a-while",
    ],
)
def test_while_a_host_is_tried_faster_a_claim_follows_when_four_answers_may_be_known(
    lab: Lab, of_host: str, seconds: float
) -> None:
    """Unless they are overdue by a second: then something else holds them up, and there is no hurry."""
    tried = f"UPDATE hosts SET {RISING} WHERE host = 'a.example'"

    assert wait_s(lab, AWAY, tried, f"UPDATE hosts SET {of_host} WHERE host = 'a.example'") == pytest.approx(seconds)


@pytest.mark.parametrize("blocked_s", [20.0, 0.0])
@pytest.mark.parametrize(
    ("refill_s", "seconds"), [(0.1, 0.3), (0.45, 0.45), (4.0, 4.0)], ids=["very fast", "fast", "slow"]
)
def test_a_full_window_is_looked_at_when_enough_has_ended_whatever_the_hosts_do(
    lab: Lab, blocked_s: float, refill_s: float, seconds: float
) -> None:
    """A claim that hands nothing out costs as much as any other."""
    blocked = f"UPDATE hosts SET blocked_until = now() + interval '{blocked_s} s'"

    assert wait_s(lab, blocked, refill_s=refill_s) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("of_batch", "seconds"),
    [
        ("costed = 9, image_cost_s = 0.001", 0.3),
        ("costed = 2, image_cost_s = 0.2", 0.3),
        ("costed = 9, image_cost_s = 0.2", 1.0),
        ("costed = 9, image_cost_s = 0.001, started_at = now() - interval '3 s'", 1.0),
    ],
    ids=["reused", "cost-unknown", "costly", "no-longer-new"],
)
def test_a_full_window_of_images_that_end_soon_is_looked_at_often_while_the_batch_is_new(
    lab: Lab, of_batch: str, seconds: float
) -> None:
    """Nothing says yet how many of them end in a second, and a small batch would wait for that most of its time."""
    new = "UPDATE batches SET started_at = now()"

    assert wait_s(lab, new, f"UPDATE batches SET {of_batch}", refill_s=1.0) == pytest.approx(seconds)
