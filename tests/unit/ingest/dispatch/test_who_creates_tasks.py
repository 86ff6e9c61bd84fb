"""An undisturbed batch's tasks are created by its executions: nobody else hands its images out meanwhile."""

from __future__ import annotations

import pytest

from support.ingest_service import MakeLab, claimed_of

IMAGES, CLAIMS = 60, 12
DEFAULTS = {"INGEST_HOST_FIRST_RATE": "5", "INGEST_HOST_MAX_RATE": "500", "INGEST_HOST_MAX_CONCURRENCY": "64"}


@pytest.mark.parametrize("hosts", [1, 20], ids=["one-host", "many-hosts"])
def test_executions_create_the_tasks_of_an_undisturbed_batch(make_lab: MakeLab, hosts: int) -> None:
    """All of them, with a sweep in each of the waits that claims ask for."""
    lab = make_lab(**DEFAULTS)
    request_id = lab.submit(*(f"https://h{number % hosts}.example/{number}.jpg" for number in range(IMAGES)))
    execution = lab.start(request_id)
    by_execution = 0

    for _claim in range(CLAIMS):
        page = lab.next_claim(request_id, execution)
        claimed = claimed_of(page)
        by_execution += len(claimed)
        for image in claimed:
            assert lab.report(image["payload"]).code == 200
        wait = f"make_interval(secs => {page['next_claim_s']})"
        lab.change(f"UPDATE batches SET heartbeat_at = heartbeat_at - {wait}")
        lab.change(f"UPDATE hosts SET next_start_at = next_start_at - {wait}, judged_from = judged_from - {wait}")
        lab.sweep()

    by_others = [task for task in lab.tasks.tasks.values() if task["url"].endswith("/compress")]
    assert (by_execution, len(by_others)) == (IMAGES, 0)
