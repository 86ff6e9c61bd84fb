"""Cloud Tasks remembers a name for a day: whatever is to be done again has a name of its own."""

from __future__ import annotations

from typing import Any

import pytest

from support.ingest_service import Lab, claimed_of

A = "https://a.example/1.jpg"
TROUBLE = {"outcome": "FAILED", "code": "TIMEOUT", "transient": True}
GONE = {"outcome": "FAILED", "code": "HTTP_4XX"}


@pytest.mark.fault("A10")
def test_an_image_has_another_name_for_every_attempt_and_run(lab: Lab) -> None:
    """After trouble, after a lost worker, and after the client asked for a retry."""
    request_id = lab.submit(A)
    names: list[str] = []

    def claim(execution: str) -> dict[str, Any]:
        page = lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json
        [image] = claimed_of(page)
        names.append(image["task_id"])
        payload: dict[str, Any] = image["payload"]
        return payload

    execution = lab.start(request_id)
    lab.report(claim(execution), **TROUBLE)
    lab.change("UPDATE images SET next_at = now()")
    claim(execution)
    lab.change("UPDATE images SET lease_until = now()")
    lab.report(claim(execution), **GONE)
    lab.finish(request_id, execution)
    lab.post("/retry", {"request_id": request_id})
    claim(lab.start(request_id))

    assert len(names) == len(set(names)) == 4


@pytest.mark.fault("A10")
def test_the_start_of_a_retry_has_another_name(lab: Lab) -> None:
    """A retry of the batch within the day is no repetition of its upload."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    [payload] = lab.claim(request_id, execution)
    lab.report(payload, **GONE)
    lab.finish(request_id, execution)

    lab.post("/retry", {"request_id": request_id})

    assert lab.tasks.bodies("/process") == [{"request_id": request_id}] * 2
    assert len({name for name, task in lab.tasks.tasks.items() if task["url"].endswith("/process")}) == 2
