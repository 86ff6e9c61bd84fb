"""The task that starts a batch, and what it brings about: an execution, or a word about the one there is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis.google.span_recorder import SpanRecorder
from chassis.tracing import record_by, span_id_of
from ingest.state.outbox import lease_entries
from ingest.supervision.start import process_batch, relay_start, relay_start_now
from support.ingest_service import INGEST_INTERNAL_URL, Lab, MakeLab

A = "https://a.example/1.jpg"


@pytest.fixture(name="is_traced", params=[True, False], ids=["traced", "untraced"])
def _is_traced(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Record every batch, or none."""
    ratio = float(request.param)
    recorder = SpanRecorder(InMemorySpanExporter(), service="s", project="p", revision="", ratio=ratio)
    record_by(recorder)
    yield request.param
    record_by(None)
    recorder.stop()


def start_tasks(lab: Lab) -> dict[str, dict[str, Any]]:
    """Return the tasks that start batches by name."""
    return {name: task for name, task in lab.tasks.tasks.items() if task["url"].endswith("/process")}


def test_the_task_that_starts_a_batch_is_whole(lab: Lab, is_traced: bool) -> None:
    """Queue, name, target, body and deadline; it belongs to the batch's trace, below its upload.

    The name is the same in every release: during a deployment the next one must find the tasks of the last one.
    """
    request_id = lab.submit(A)

    [(name, task)] = start_tasks(lab).items()

    batch = UUID(request_id)
    named = hashlib.sha256(f"start/{request_id}/1/1".encode()).hexdigest()
    assert name == f"{lab.settings.batches_queue}/tasks/{named}"
    assert task == {
        "url": f"{INGEST_INTERNAL_URL}/process",
        "audience": INGEST_INTERNAL_URL,
        "body": {"request_id": request_id},
        "deadline_s": 60,
        "start_at": None,
        "headers": {"traceparent": f"00-{batch.hex}-{span_id_of(batch, 'upload')}-0{int(is_traced)}"},
    }


@pytest.mark.parametrize("address", ["https://i.example", "https://i.example/", "https://i.example/X/"])
def test_a_slash_at_the_end_of_our_own_address_does_not_matter(make_lab: MakeLab, address: str) -> None:
    """The token is for the address as it is set."""
    lab = make_lab(INGEST_INTERNAL_URL=address)
    lab.submit(A)

    [task] = start_tasks(lab).values()

    assert (task["url"], task["audience"]) == (address.rstrip("/") + "/process", address)


def test_an_upload_sends_its_own_start_and_no_older_one(lab: Lab) -> None:
    """What could not be sent before is the sweeper's: an upload does not wait for a backlog."""
    lab.tasks.down = True
    older = lab.submit(A)
    lab.tasks.down = False
    lab.change("UPDATE outbox SET next_at = now() - interval '1 hour'")

    own = lab.submit(A)

    assert lab.tasks.bodies("/process") == [{"request_id": own}]
    assert [str(row["batch"]) for row in lab.rows("SELECT batch FROM outbox WHERE kind = 'start'")] == [older]


def test_a_batch_whose_start_is_told_already_has_nothing_to_send(lab: Lab) -> None:
    """Whoever is given no entry neither looks for one nor fails."""
    lab.tasks.down = True
    lab.submit(A)
    lab.tasks.down = False
    lab.change("UPDATE outbox SET next_at = now()")

    relay_start_now(lab.engine, lab.tasks, lab.settings, None)

    assert start_tasks(lab) == {}


def test_an_entry_is_kept_until_its_task_is_there(lab: Lab) -> None:
    """And is gone afterwards, so that no sweep sends it again."""
    lab.tasks.down = True
    lab.submit(A)
    lab.tasks.down = False
    lab.change("DELETE FROM outbox WHERE kind <> 'start'")
    lab.change("UPDATE outbox SET next_at = now()")
    [entry] = lease_entries(lab.engine, limit=1)

    relay_start(lab.engine, lab.tasks, lab.settings, entry)

    assert len(start_tasks(lab)) == 1
    assert lab.rows("SELECT 1 FROM outbox") == []


def processed(lab: Lab, request_id: str) -> str:
    """Do what the task asks for; return what it is told."""
    return process_batch(lab.engine, lab.executions, UUID(request_id)).message


def test_the_task_of_a_batch_that_has_failed_is_told_how(make_lab: MakeLab) -> None:
    lab = make_lab(INGEST_MAX_EXECUTION_FAILURES="1")
    request_id = lab.submit(A)
    lab.batch_call(request_id, "fail", execution=lab.start(request_id), step="claim", error="x")

    assert processed(lab, request_id) == "Failed in step claim after 1 tries"
    assert lab.executions.created == []


def test_an_execution_is_created_for_its_batch_and_owns_it_from_then_on(lab: Lab) -> None:
    """No other batch is touched; the batch is heard of with it."""
    other, request_id = lab.submit(A), lab.submit(A)
    lab.change("UPDATE batches SET heartbeat_at = now() - interval '1 hour'")

    found = process_batch(lab.engine, lab.executions, UUID(request_id))

    assert (str(found.batch.request_id), found.message) == (request_id, "Processing was started")
    [(batch, execution)] = lab.executions.created
    assert str(batch) == request_id
    assert (lab.batch_row(request_id)["execution"], lab.batch_row(other)["execution"]) == (execution, None)
    recent = lab.rows("SELECT request_id FROM batches WHERE heartbeat_at > now() - interval '1 minute'")
    assert [str(row["request_id"]) for row in recent] == [request_id]


def test_a_batch_whose_execution_lives_is_left_to_it(lab: Lab) -> None:
    """The owner is asked for, not somebody else."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)

    found = process_batch(lab.engine, lab.executions, UUID(request_id))

    assert (str(found.batch.request_id), found.message) == (request_id, "Processing is under way")
    assert (lab.executions.asked, lab.executions.created) == ([execution], [])


def test_a_dead_execution_counts_as_a_failure_of_its_batch_alone(lab: Lab) -> None:
    """The successor is not held to blame."""
    other, request_id = lab.submit(A), lab.submit(A)
    lab.start(other)
    lab.executions.live.remove(lab.start(request_id))

    assert processed(lab, request_id) == "Processing was started"

    row = lab.batch_row(request_id)
    assert (row["failures"], row["execution"]) == (1, lab.executions.created[0][1])
    assert lab.batch_row(other)["failures"] == 0
