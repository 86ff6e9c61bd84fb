"""The files of Pressroom that the local platform reads are right for it: queues, schedules, the workflow of a batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.dispatch.claim import MAX_PAGE_BYTES
from localcloud.__main__ import main
from localcloud.check.report import Checked, check_source
from localcloud.scheduler.schedules_file import load_schedules
from localcloud.tasks.queues_file import load_queues

ROOT = Path(__file__).parents[2]
BATCH = ROOT / "workflows" / "batch.yaml"


def checked(source: str, **assumed: int) -> Checked:
    """Return what is known about a source that can be deployed."""
    result = check_source(source, assumed)
    assert isinstance(result, Checked), result
    return result


def test_queues_of_the_repository_are_valid() -> None:
    """The three queues of the product."""
    queues = load_queues(ROOT / "infra" / "queues.yaml", project="demo", location="us-central1")

    assert [queue.queue_id for queue in queues] == ["batches", "images", "webhooks"]


def test_schedules_of_the_repository_are_valid() -> None:
    """Both sweepers run every minute."""
    schedules = load_schedules(ROOT / "infra" / "schedules.yaml")

    assert [(s.name, s.service, s.cron) for s in schedules] == [
        ("ingest-sweep", "ingest-internal", "* * * * *"),
        ("reporter-sweep", "reporter-internal", "* * * * *"),
    ]


def test_batch_workflow_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """The product's own workflow is clean, and its loops are listed with their figures."""
    status = main(["check", str(BATCH), "--assume", "group=98304"])
    said = capsys.readouterr().out

    assert status == 0
    assert f"{BATCH}: ok" in said
    assert "iteration of dispatch_page" in said
    assert "retry of" not in said  # every count of retries is a literal, so its cost is known


def test_batch_workflow_fits_its_own_budget_of_steps() -> None:
    """The file adds 24 steps per claim, 17 per group, 5 per task created alone: while nothing fails."""
    costs = checked(BATCH.read_text()).costs
    each = {(r.what, r.step): r.each.clean for r in costs.repetitions}

    given_back = 11  # which the check takes for a part of every iteration
    assert each["iteration", "dispatch_page"] <= 17 + given_back
    assert each["iteration", "create_each"] <= 5
    assert each["jump back to claim_page", "awake"] <= 24


def test_page_of_the_batch_workflow_stays_below_its_memory() -> None:
    """Even if each of four groups were a whole page of 96 KiB, they fit."""
    [memory] = checked(BATCH.read_text(), group=MAX_PAGE_BYTES).memory

    assert memory.unknown == ()
    assert memory.bytes_at_most == 4 * MAX_PAGE_BYTES
