"""Ingest's own clock steps by five minutes; leases, waits and deadlines are the database's, durations monotonic."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from chassis.clock import SystemClock
from ingest.app import create_app
from support.ingest_service import Lab

A = "https://a.example/1.jpg"
STEPS_S = (300, -300)


class SteppedClock(SystemClock):
    """The machine's clock, off by `step_s`; it can be stepped at any time."""

    def __init__(self) -> None:
        self.step_s = 0

    def now(self) -> datetime:
        """Return the wrong time."""
        return super().now() + timedelta(seconds=self.step_s)


@pytest.fixture
def clock(lab: Lab) -> SteppedClock:
    """Give the laboratory's service a clock that steps; its tokens are checked by the right one."""
    clock = SteppedClock()
    lab.dependencies = replace(lab.dependencies, clock=clock)
    lab.app = create_app(lab.dependencies)
    return clock


@pytest.mark.fault("J3")
@pytest.mark.threat("T17")
@pytest.mark.parametrize("step_s", STEPS_S)
def test_a_step_neither_ends_nor_prolongs_a_lease(lab: Lab, clock: SteppedClock, step_s: int) -> None:
    """With a lease of ten seconds nothing is handed out twice after the step, and the ended lease is noticed."""
    lab.settings = lab.settings.model_copy(update={"lease_s": 10})
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    (payload,) = lab.claim(request_id, execution)

    clock.step_s = step_s
    lab.sweep()
    early = lab.claim(request_id, execution)
    lab.change("UPDATE images SET lease_until = now() WHERE status = 'DISPATCHED'")
    lab.sweep()
    later = lab.claim(request_id, execution)

    assert early == []
    assert [found["attempt"] for found in later] == [payload["attempt"] + 1]


@pytest.mark.fault("J3")
@pytest.mark.parametrize("step_s", STEPS_S)
def test_a_step_changes_no_batch(lab: Lab, clock: SteppedClock, step_s: int) -> None:
    """Uploaded before, worked on during and finished after the step: started, sealed and finished in this order."""
    request_id = lab.submit(A)
    clock.step_s = step_s
    execution = lab.start(request_id)
    (payload,) = lab.claim(request_id, execution)
    lab.report(payload)
    clock.step_s = 0
    lab.finish(request_id, execution)

    batch = lab.batch_row(request_id)
    assert batch["status"] == "COMPLETED"
    assert batch["created_at"] <= batch["started_at"] <= batch["sealed_at"] <= batch["finished_at"]


def test_a_step_back_during_a_request_leaves_its_duration_right(lab: Lab, clock: SteppedClock) -> None:
    """A sweep during which time jumps back five minutes took no negative time, and did all its work."""
    lab.submit(A)
    lab.change("UPDATE batches SET heartbeat_at = now() - interval '1 day', execution = 'projects/p/executions/dead'")
    lab.executions.before_answer = lambda: setattr(clock, "step_s", -300)

    with capture_logs() as lines:
        swept = lab.sweep()

    assert clock.step_s == -300
    assert (swept["postponed"], swept["restarted"]) == (0, 1)
    (elapsed_ms,) = [line["elapsed_ms"] for line in lines if line["event"] == "request.served"]
    assert 0 <= elapsed_ms < 10_000
