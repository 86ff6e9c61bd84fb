"""Backpressure: no more batches are taken while what is due waits too long for its turn, whatever it waits for."""

from __future__ import annotations

import pytest

from ingest.batches.backlog import DUE_FOR_S, LOST_TASKS
from support.ingest_service import Answered, Lab, MakeLab, sheet_of

A = "https://a.example/1.jpg"
LIMIT_S = 600


def facts(answer: Answered) -> dict[str, str]:
    """Return the metadata of an error."""
    found: dict[str, str] = answer.json["error"]["details"][0]["metadata"]
    return found


def try_upload(lab: Lab) -> Answered:
    """Upload a sheet of another host."""
    return lab.upload(sheet_of("https://b.example/1.jpg"))


def handed_out(lab: Lab, images: int) -> str:
    """Start a batch and hand so many images out; return its id."""
    request_id = lab.submit(*[f"{A}?{n}" for n in range(images)])
    assert len(lab.claim(request_id, lab.start(request_id))) == images
    return request_id


def move_tasks(lab: Lab, seconds: float) -> None:
    """Let the time of every task be that long ago."""
    lab.change(
        "UPDATE images SET lease_until = now() + make_interval(secs => :s) WHERE status = 'DISPATCHED'",
        s=lab.settings.lease_s - seconds,
    )


def assert_refused(answer: Answered, *, least_s: float, most_s: float) -> None:
    """Check the refusal: 503 with reason, limit, value, and when to come back."""
    assert (answer.code, answer.reason) == (503, "BACKLOG_TOO_OLD")
    assert (facts(answer)["limit_name"], facts(answer)["limit"]) == ("max_backlog_s", str(LIMIT_S))
    assert least_s <= int(facts(answer)["value"]) < most_s
    assert answer.headers["Retry-After"] == "60"


@pytest.mark.fault("J7")
@pytest.mark.threat("T6")
def test_batches_that_wait_for_their_start_refuse_others_until_it_comes(lab: Lab) -> None:
    """As long as executions cannot be had."""
    waiting = lab.submit(A)
    lab.change("UPDATE batches SET created_at = now() - interval '605 seconds'")

    assert_refused(try_upload(lab), least_s=605, most_s=700)
    lab.claim(waiting, lab.start(waiting))
    assert try_upload(lab).code == 202


@pytest.mark.fault("J7")
@pytest.mark.threat("T6")
def test_due_tasks_that_nobody_does_refuse_others(lab: Lab) -> None:
    """All batches have begun, and the compressors do nothing: also then a new batch would only wait."""
    handed_out(lab, LOST_TASKS + 1)
    move_tasks(lab, LIMIT_S + 5)

    assert_refused(try_upload(lab), least_s=LIMIT_S + 5, most_s=LIMIT_S + 100)


def test_a_few_lost_tasks_refuse_nobody(lab: Lab) -> None:
    """A compressor that died with its images: their leases end by themselves, and nobody waits behind them."""
    handed_out(lab, LOST_TASKS)
    move_tasks(lab, LIMIT_S + 200)

    assert try_upload(lab).code == 202


def test_work_that_will_take_too_long_refuses_others_before_it_has_waited(lab: Lab) -> None:
    """At the rate at which images end: counted from what has been due for a while."""
    request_id = handed_out(lab, 70)
    lab.change("UPDATE batches SET images_per_s = 0.05, measured_at = now() WHERE request_id = :b", b=request_id)
    move_tasks(lab, DUE_FOR_S + 1)
    expected = (70 - LOST_TASKS) / 0.05

    assert_refused(try_upload(lab), least_s=expected, most_s=expected + 1)
    move_tasks(lab, DUE_FOR_S - 10)
    assert try_upload(lab).code == 202


def test_images_that_wait_for_their_host_refuse_nobody(make_lab: MakeLab) -> None:
    """A host that bears little keeps its own images waiting for hours, and no others."""
    lab = make_lab(INGEST_HOST_LIMITS="a.example=1/0.1")
    request_id = lab.submit(*[f"{A}?{n}" for n in range(300)])
    lab.claim(request_id, lab.start(request_id))
    lab.change("UPDATE images SET next_at = now() - interval '2 hours' WHERE status = 'PENDING'")
    lab.change("UPDATE batches SET created_at = now() - interval '2 hours', images_per_s = 0.1, measured_at = now()")

    assert try_upload(lab).code == 202
