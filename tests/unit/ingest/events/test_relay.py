"""What subscribers are told before the end: that a batch was taken in, whichever door it took, and that it began."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from ingest.events.relay import relay_events_now
from support.ingest_service import Lab, sheet_of
from support.payload_schemas import assert_matches

A, B = "https://a.example/1.jpg", "https://a.example/2.jpg"
SILENT = "UPDATE batches SET heartbeat_at = now() - interval '1 hour'"
DUE = "UPDATE outbox SET next_at = now()"


def told(lab: Lab) -> list[tuple[str, int]]:
    """Return status and run of every notification, in order."""
    return [(notice["status"], notice["generation"]) for notice in lab.reporter.notified]


def waiting(lab: Lab) -> list[str]:
    """Return what the outbox has for subscribers."""
    rows = lab.rows("SELECT kind FROM outbox WHERE kind IN ('accepted', 'started') ORDER BY id")
    return [str(row["kind"]) for row in rows]


def by_form(lab: Lab) -> str:
    return str(lab.submit(A))


def by_text(lab: Lab) -> str:
    return str(lab.post("/upload", {"csv_text": sheet_of(A)}).json["request_id"])


def by_items(lab: Lab) -> str:
    return str(lab.post("/upload", {"items": [{"name": "x", "urls": [A]}]}).json["request_id"])


def by_workflow(lab: Lab) -> str:
    lab.storage.objects["gs://b/sheet.csv"] = sheet_of(A).encode()
    body = {"execution": lab.new_execution(), "csv_uri": "gs://b/sheet.csv", "webhook_url": None, "options": None}
    return str(lab.internal("workflow", "POST", "/internal/imports", body).json["request_id"])


@pytest.mark.parametrize("door", [by_form, by_text, by_items, by_workflow])
def test_every_door_announces_its_batch(lab: Lab, door: Any) -> None:
    """The news is in the outbox when the door answers, and told when the workflow comes by; nothing is told twice."""
    request_id = door(lab)
    before = (waiting(lab), told(lab))

    execution = lab.start(request_id)
    lab.start(request_id, execution)

    assert before == (["accepted"], [])
    assert told(lab) == [("PENDING", 1), ("PROCESSING", 1)]
    assert waiting(lab) == []
    for notice in lab.reporter.notified:
        assert_matches("notification_request", notice)
        assert (notice["request_id"], notice["finished_at"], notice["download_url"]) == (request_id, None, None)
        assert notice["counts"] == {"total": 1, "pending": 1, "succeeded": 0, "failed": 0}


def test_the_start_task_tells_of_the_upload(lab: Lab) -> None:
    """Not the upload itself: the client need not wait for the reporter to wake up."""
    request_id = lab.submit(A)

    lab.internal("tasks", "POST", "/process", {"request_id": request_id})

    assert told(lab) == [("PENDING", 1)]


def test_a_refused_or_repeated_upload_announces_nothing(lab: Lab) -> None:
    """Validation stores nothing, a bad sheet neither, and an Idempotency-Key makes one batch."""
    lab.upload(sheet_of(A), validate_only="true")
    lab.upload("no,header\n1,2\n")
    for _ in range(2):
        lab.upload(sheet_of(A), headers={"Idempotency-Key": "k"})

    assert waiting(lab) == ["accepted"]


def test_a_reporter_that_is_down_holds_nothing_up(lab: Lab) -> None:
    """Start and claim answer; the sweeper tells later, in order."""
    lab.reporter.down = True
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    claimed = lab.claim(request_id, execution)
    lab.reporter.down = False
    lab.change(DUE)

    swept = lab.sweep()

    assert len(claimed) == 1
    assert swept["told"] == 2
    assert told(lab) == [("PENDING", 1), ("PROCESSING", 1)]


def test_without_workflows_the_sweeper_announces_the_start(lab: Lab) -> None:
    """Its claim is the start then."""
    lab.executions.down = True
    lab.submit(A)
    lab.change(SILENT)

    lab.sweep()

    assert told(lab) == [("PENDING", 1), ("PROCESSING", 1)]


def test_the_start_of_batches_does_not_wait_for_news(lab: Lab) -> None:
    """However old the news is, start tasks go first."""
    lab.tasks.down = True
    lab.submit(A)
    lab.tasks.down = False
    lab.change("UPDATE outbox SET next_at = now() - CASE kind WHEN 'start' THEN interval '0' ELSE interval '9 h' END")
    tasks_then: list[int] = []
    notify = lab.reporter.notify

    def watch(ending: Mapping[str, Any], download_url: str | None) -> None:
        tasks_then.append(len(lab.tasks.bodies("/process")))
        notify(ending, download_url)

    lab.reporter.notify = watch  # type: ignore[method-assign]
    lab.sweep()

    assert tasks_then == [1]


def test_a_retry_starts_again_and_is_not_accepted_again(lab: Lab) -> None:
    """The second run is told as generation 2."""
    request_id = lab.submit(f"{A} {B}")
    execution = lab.start(request_id)
    for payload in lab.claim(request_id, execution):
        lab.report(payload, outcome="FAILED", code="HTTP_404")
    lab.finish(request_id, execution)
    lab.post("/retry", {"request_id": request_id})

    lab.start(request_id)

    assert told(lab) == [("PENDING", 1), ("PROCESSING", 1), ("PROCESSING", 2)]
    assert lab.reporter.notified[-1]["counts"] == {"total": 2, "pending": 2, "succeeded": 0, "failed": 0}


def test_a_batch_cancelled_before_its_start_is_never_started(lab: Lab) -> None:
    """Accepted, then cancelled."""
    lab.executions.down = True
    request_id = lab.submit(A)
    lab.post("/cancel", {"request_id": request_id})
    lab.change(SILENT)

    lab.sweep()

    assert told(lab) == [("PENDING", 1), ("CANCELLED", 1)]


@pytest.mark.feature("20")
def test_a_batch_past_its_deadline_tells_how_it_ended(lab: Lab) -> None:
    """There is no event of its own for that: nothing was compressed, so it has failed."""
    lab.executions.down = True
    request_id = lab.submit(A)
    lab.change("UPDATE batches SET deadline_at = now()")
    lab.change(SILENT)

    lab.sweep()

    assert told(lab) == [("PENDING", 1), ("FAILED", 1)]
    assert lab.status(request_id)["products"][0]["images"][0]["code"] == "DEADLINE"


def test_racing_relays_tell_once(lab: Lab) -> None:
    """An entry is leased before it is sent."""
    request_id = uuid.UUID(lab.submit(A))

    with ThreadPoolExecutor(8) as pool:
        relay = partial(relay_events_now, lab.engine, lab.reporter)
        list(pool.map(lambda _: relay(request_id), range(8)))

    assert told(lab) == [("PENDING", 1)]


def test_news_of_a_later_release_is_left_to_it(lab: Lab) -> None:
    """While two releases are being served, the older one's sweeps go on with what they know."""
    request_id = lab.submit(A)
    [rule] = lab.rows("SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conname = 'outbox_kind_check'")
    lab.change("ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check")
    try:
        insert = "INSERT INTO outbox (kind, batch, generation, payload) VALUES ('later', :id, 1, '{}')"
        lab.change(insert, id=request_id)
        swept = lab.sweep()
        left = [row["kind"] for row in lab.rows("SELECT kind FROM outbox")]
    finally:
        lab.change("DELETE FROM outbox")
        lab.change(f"ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check {rule['text']}")

    assert (swept["told"], left) == (1, ["later"])


def test_the_owner_is_told_with_the_news(lab: Lab) -> None:
    """No report says yet whose batch it is."""
    request_id = lab.submit(A)
    lab.change("UPDATE batches SET owner = 'alice'")

    lab.start(request_id)

    assert [notice["owner"] for notice in lab.reporter.notified] == [None, "alice"]
