"""What the sweeper finds: lost hints, dead executions, silent workers, batches that nobody supervises."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from chassis.db.engine import transact
from ingest.state.execution import drop_execution
from support.ingest_service import Lab, MakeLab
from support.payload_schemas import assert_matches
from support.query_plans import planned_awkwardly

A, B = "https://a.example/1.jpg", "https://a.example/2.jpg"
SILENT = "UPDATE batches SET heartbeat_at = now() - interval '1 hour'"
TROUBLE = {"outcome": "FAILED", "code": "HTTP_503", "detail": "busy", "transient": True}


def test_a_sweep_of_a_tidy_house_finds_nothing(lab: Lab) -> None:
    """Every count is 0."""
    lab.finish_all(lab.submit(A))
    assert set(lab.sweep().values()) == {0}


def test_a_start_hint_that_could_not_be_sent_is_sent_later(lab: Lab) -> None:
    """With a new task name, because the first may have arrived all the same."""
    lab.tasks.down = True
    request_id = lab.submit(A)
    lab.tasks.down = False
    lab.change("UPDATE outbox SET next_at = now()")

    swept = lab.sweep()

    assert swept["started"] == 1
    assert lab.tasks.bodies("/process") == [{"request_id": request_id}]
    assert lab.rows("SELECT * FROM outbox") == []


def test_an_outbox_entry_waits_for_cloud_tasks(lab: Lab) -> None:
    """A sweep that cannot send leaves it for the next."""
    lab.tasks.down = True
    lab.submit(A)
    lab.change("UPDATE outbox SET next_at = now()")

    swept = lab.sweep()

    assert (swept["started"], swept["postponed"]) == (0, 1)
    assert [row["kind"] for row in lab.rows("SELECT kind FROM outbox")] == ["start"]


def test_a_batch_without_execution_gets_one(lab: Lab) -> None:
    """When the start task was lost."""
    request_id = lab.submit(A)
    lab.change(SILENT)

    assert lab.sweep()["restarted"] == 1
    assert lab.batch_row(request_id)["execution"] == lab.executions.created[0][1]


def test_a_young_batch_is_left_alone(lab: Lab) -> None:
    """Its task is probably on its way."""
    lab.submit(A)
    assert lab.sweep()["restarted"] == 0


def test_a_dead_execution_is_replaced(lab: Lab) -> None:
    """Silent and not alive: the batch gets a new one, and the death counts as a failure."""
    request_id = lab.submit(A)
    lab.executions.live.remove(lab.start(request_id))
    lab.change(SILENT)

    assert lab.sweep()["restarted"] == 1
    row = lab.batch_row(request_id)
    assert (row["execution"], row["failures"]) == (lab.executions.created[0][1], 1)


def test_a_silent_execution_that_lives_is_left_alone(lab: Lab) -> None:
    """A report may take half an hour."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    lab.report(lab.claim(request_id, execution)[0])
    lab.change(SILENT)

    swept = lab.sweep()

    assert (swept["restarted"], swept["supervised"]) == (0, 0)
    assert (lab.batch_row(request_id)["execution"], lab.reporter.published) == (execution, [])


@pytest.mark.threat("T16")
def test_without_workflows_the_sweeper_brings_a_batch_to_its_end(lab: Lab) -> None:
    """Claim, tasks, report, finish, notify: the same calls, the same task names."""
    lab.executions.down = True
    request_id = lab.submit(f"{A} {A}", B)
    lab.change(SILENT)
    first = lab.sweep()
    payloads = lab.tasks.bodies("/compress")
    outcomes = [lab.report(payload).json["batch_status"] for payload in payloads]
    lab.change(SILENT)

    second = lab.sweep()

    assert (first["supervised"], second["supervised"], second["notified"]) == (1, 1, 1)
    assert outcomes == ["PROCESSING", "SEALING"]
    assert lab.status(request_id)["status"] == "COMPLETED"
    assert [notice["status"] for notice in lab.reporter.notified] == ["PENDING", "PROCESSING", "COMPLETED"]
    notified = lab.reporter.notified[-1]
    assert (notified["status"], notified["message"]) == ("COMPLETED", "Compression done")
    assert notified["download_url"] == f"https://reporter.test/reports/{request_id}/output.csv"


def test_the_notification_of_the_sweeper_keeps_its_contract(lab: Lab) -> None:
    """It is what the workflow would have sent."""
    lab.finish_all(lab.submit(A))
    lab.change("UPDATE outbox SET next_at = now()")

    lab.sweep()

    assert_matches("notification_request", lab.reporter.notified[-1])


def test_executions_that_keep_dying_are_done_without(make_lab: MakeLab) -> None:
    """After the budget of failures the sweeper supervises by itself."""
    lab = make_lab(INGEST_MAX_EXECUTION_FAILURES="1")
    request_id = lab.submit(A)
    lab.executions.live.remove(lab.start(request_id))
    lab.change(SILENT)

    swept = lab.sweep()

    assert (swept["restarted"], swept["supervised"]) == (0, 1)
    assert len(lab.tasks.bodies("/compress")) == 1


def test_an_image_whose_task_could_not_be_created_is_given_back(lab: Lab) -> None:
    """Soon, not only when its lease ends, and without using up its budget."""
    lab.executions.down = True
    lab.submit(A)
    lab.tasks.down = True
    lab.change(SILENT)

    swept = lab.sweep()

    assert swept["postponed"] >= 1
    [row] = lab.rows("SELECT status, attempt, attempt_limit, next_at > now() AS later FROM images")
    assert row == {"status": "PENDING", "attempt": 1, "attempt_limit": 6, "later": True}


@pytest.mark.feature("20")
def test_a_batch_past_its_deadline_is_ended(lab: Lab) -> None:
    """Its owner is woken."""
    request_id = lab.submit(A)
    lab.start(request_id)
    lab.change("UPDATE batches SET deadline_at = now()")

    assert lab.sweep()["overdue"] == 1
    assert lab.batch_row(request_id)["status"] == "SEALING"
    assert [str(found) for found in lab.callbacks.sealed] == [request_id]


@pytest.mark.fault("A6")
def test_expired_leases_are_returned(lab: Lab) -> None:
    """So that the next claim finds them."""
    request_id = lab.submit(A)
    lab.claim(request_id, lab.start(request_id))
    lab.change("UPDATE images SET lease_until = now()")

    assert lab.sweep()["overdue"] == 1
    assert lab.rows("SELECT status, attempt FROM images") == [{"status": "PENDING", "attempt": 1}]


@pytest.mark.fault("H16")
def test_a_report_that_the_reporter_cannot_write_is_asked_for_again(lab: Lab) -> None:
    """The batch stays SEALING meanwhile."""
    lab.executions.down = True
    request_id = lab.upload("Product Name,Input Image Urls\nx,\n").json["request_id"]
    lab.reporter.down = True
    lab.change(SILENT)
    first = lab.sweep()
    lab.reporter.down = False

    second = lab.sweep()

    assert (first["supervised"], second["supervised"]) == (0, 1)
    # The end was told when there was a report, not before.
    assert (first["notified"], second["notified"]) == (0, 1)
    assert lab.reporter.notified[-1]["download_url"]
    assert lab.batch_row(request_id)["status"] == "COMPLETED"


def test_a_notification_waits_for_the_reporter(lab: Lab) -> None:
    """Nobody loses the news because the reporter was away."""
    lab.finish_all(lab.submit(A))
    lab.reporter.down = True
    lab.change("UPDATE outbox SET next_at = now()")
    first = lab.sweep()
    lab.reporter.down = False
    lab.change("UPDATE outbox SET next_at = now()")

    second = lab.sweep()

    assert (first["notified"], second["notified"]) == (0, 1)
    assert [notice["status"] for notice in lab.reporter.notified] == ["PENDING", "PROCESSING", "COMPLETED"]


@pytest.mark.fault("J8")
def test_expired_keys_are_forgotten(lab: Lab) -> None:
    """Idempotency is promised for a day."""
    lab.upload("Product Name,Input Image Urls\nx,\n", headers={"Idempotency-Key": "k"})
    lab.change("UPDATE idempotency_keys SET expires_at = now()")
    assert lab.sweep()["keys_expired"] == 1


def test_expired_keys_are_forgotten_page_by_page(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the database plans it: a backlog is worked off sweep by sweep and never in one long statement."""
    monkeypatch.setattr("ingest.supervision.sweep._MAX_KEYS", 2)
    for number in range(3):
        lab.upload("Product Name,Input Image Urls\nx,\n", headers={"Idempotency-Key": f"k{number}"})
    lab.change("UPDATE idempotency_keys SET expires_at = now()")

    with planned_awkwardly(lab.engine):
        expired = [lab.sweep()["keys_expired"] for _ in range(3)]

    assert expired == [2, 1, 0]


def test_two_sweeps_at_once_do_each_thing_once(lab: Lab) -> None:
    """Outbox entries are leased and tasks have names."""
    lab.tasks.down = True
    ids = [lab.submit(f"{A}?{n}") for n in range(10)]
    lab.tasks.down = False
    lab.change("UPDATE outbox SET next_at = now()")

    with ThreadPoolExecutor(2) as pool:
        swept = list(pool.map(lambda _: lab.sweep(), range(2)))

    assert sum(found["started"] for found in swept) == 10
    assert sorted(body["request_id"] for body in lab.tasks.bodies("/process")) == sorted(ids)


def test_a_counter_that_failed_to_seal_is_repaired(lab: Lab) -> None:
    """Belt and braces: a batch without open images never stays open."""
    request_id = lab.submit(A)
    lab.change("UPDATE images SET status = 'FAILED', code = 'X'")
    lab.change("UPDATE batches SET pending = 0, failed = 1")
    assert lab.sweep()["sealed"] == 1
    assert lab.batch_row(request_id)["status"] == "SEALING"


def test_a_sweep_sends_so_many_entries_and_the_next_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long nobody swept, one sweep ends in time."""
    monkeypatch.setattr("ingest.supervision.sweep._MAX_OUTBOX", 2)
    lab.tasks.down = True
    for number in range(3):
        lab.submit(f"{A}?{number}")
    lab.tasks.down = False
    lab.change("DELETE FROM outbox WHERE kind <> 'start'")
    lab.change("UPDATE outbox SET next_at = now()")

    assert [lab.sweep()["started"] for _ in range(3)] == [2, 1, 0]


def test_a_sweep_looks_after_so_many_batches_of_each_kind(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late ones, silent ones, and those that nobody sealed."""
    monkeypatch.setattr("ingest.supervision.sweep._MAX_BATCHES", 2)
    late, silent, unsealed = ([lab.submit(f"{A}?{kind}{number}") for number in range(3)] for kind in "lsu")
    for of_batch, ids in (
        ("deadline_at = now()", late),
        ("heartbeat_at = now() - interval '1 hour'", silent),
        ("pending = 0, failed = 1", unsealed),
    ):
        lab.change(f"UPDATE batches SET {of_batch} WHERE request_id = ANY(CAST(:ids AS uuid[]))", ids=ids)

    swept = [lab.sweep() for _ in range(2)]

    assert [(each["overdue"], each["restarted"], each["sealed"]) for each in swept] == [(2, 2, 2), (1, 1, 1)]


def test_a_sweep_that_has_used_its_time_begins_nothing_new(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left it says, and the next one does it."""
    lab.tasks.down = True
    lab.submit(A)
    lab.tasks.down = False
    lab.change("DELETE FROM outbox WHERE kind <> 'start'")
    lab.change("UPDATE outbox SET next_at = now()")
    lab.change(SILENT)
    monkeypatch.setattr("ingest.supervision.sweep._BUDGET_S", 0.0)

    swept = lab.sweep()

    assert (swept["started"], swept["restarted"], swept["postponed"]) == (0, 0, 2)
    assert lab.executions.created == []


def test_executions_that_cannot_be_had_are_asked_for_once(lab: Lab) -> None:
    """Each question may take its whole time-out; all batches are supervised without."""
    lab.executions.down = True
    for number in range(3):
        lab.submit(f"{A}?{number}")
    lab.change(SILENT)

    swept = lab.sweep()

    assert (swept["restarted"], swept["supervised"], swept["postponed"]) == (0, 3, 0)
    assert lab.executions.calls == 1
    assert len(lab.tasks.bodies("/compress")) == 3


def test_a_sweep_counts_all_that_it_has_told_and_all_that_has_to_wait(lab: Lab) -> None:
    """Two batches: both were accepted and started, and both have ended."""
    lab.reporter.down = True
    for number in range(2):
        lab.finish_all(lab.submit(f"{A}?{number}"))
    due = "UPDATE outbox SET next_at = now()"
    lab.change(due)
    first = lab.sweep()
    lab.reporter.down = False
    lab.change(due)

    second = lab.sweep()

    assert (first["told"], first["notified"], first["postponed"]) == (0, 0, 6)
    assert (second["told"], second["notified"], second["postponed"]) == (4, 2, 0)


def test_the_news_of_an_earlier_run_has_no_link_to_the_report_of_a_later_one(lab: Lab) -> None:
    """Nor has the news of a batch that has no report."""
    request_id = lab.submit(A)
    lab.finish_all(request_id)
    lab.change("UPDATE batches SET generation = 2")
    lab.change("UPDATE outbox SET next_at = now()")

    lab.sweep()

    assert lab.reporter.notified[-1]["download_url"] is None
    assert lab.reporter.published == []


def test_an_owner_that_gives_its_batch_up_while_the_sweeper_asks_for_it_is_believed(lab: Lab) -> None:
    """What was asked about one owner says nothing of a batch that has moved on: neither a failure, nor a successor."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    lab.executions.live.remove(execution)
    lab.change(SILENT)

    def give_up() -> None:
        transact(lab.engine, lambda c: drop_execution(c, UUID(request_id), execution, failed=False))

    lab.executions.before_answer = give_up

    swept = lab.sweep()

    assert (swept["restarted"], swept["supervised"], swept["postponed"]) == (0, 0, 0)
    row = lab.batch_row(request_id)
    assert (row["execution"], row["failures"]) == (None, 0)


def test_trouble_with_one_batch_keeps_no_other_waiting_and_says_which_and_why(lab: Lab) -> None:
    """The report of one cannot be written, the start of another not be sent; a third begins, which nobody can tell."""
    lab.executions.down = True
    reported = lab.upload("Product Name,Input Image Urls\nx,\n").json["request_id"]
    done = lab.submit(B)
    lab.change(SILENT)
    lab.change("DELETE FROM outbox")
    lab.reporter.down = True
    lab.tasks.down = True
    unsent = lab.submit(A)
    lab.change("DELETE FROM outbox WHERE kind <> 'start'")
    lab.change("UPDATE outbox SET next_at = now()")
    lab.tasks.create = only_compressions(lab)  # type: ignore[method-assign]

    with capture_logs() as lines:
        swept = lab.sweep()

    assert (swept["supervised"], swept["postponed"]) == (1, 3)
    assert lab.rows("SELECT status FROM images WHERE batch = :b", b=done) == [{"status": "DISPATCHED"}]
    postponed = [line for line in lines if "request_id" in line and "reason" in line]
    assert sorted((line["event"], line["request_id"], line["reason"]) for line in postponed) == [
        ("batch.revival_postponed", reported, "PEER_UNAVAILABLE"),
        *sorted(
            [("outbox.postponed", unsent, "TASKS_UNAVAILABLE"), ("outbox.postponed", done, "PEER_UNAVAILABLE")],
        ),
    ]


def only_compressions(lab: Lab) -> Any:
    """Return a way to create tasks that refuses those which start batches."""
    create = lab.tasks.create

    def creating(queue: str, task_id: str, **task: Any) -> None:
        lab.tasks.down = task["url"].endswith("/process")
        create(queue, task_id, **task)

    return creating


def test_all_that_is_due_at_the_very_end_of_the_time_is_left_to_the_next_sweep(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large late batch one page ends; nothing else is begun: no start, no event, no deletion."""
    monkeypatch.setattr("ingest.supervision.sweep._BUDGET_S", 0.0)
    monkeypatch.setattr("ingest.state.expiry.MAX_ENDED_ROWS", 2)
    lab = make_lab(INGEST_REUSE_DAYS="10")
    monkeypatch.setattr(lab.dependencies.clock, "monotonic", lambda: 100.0)
    old = lab.submit(f"{A}?old")
    lab.report(lab.claim(old, execution := lab.start(old))[0], source_sha256="cd" * 32)
    lab.finish(old, execution)
    lab.change("DELETE FROM outbox")
    lab.change("UPDATE batches SET finished_at = now() - interval '99 days'")
    lab.change("UPDATE known_sources SET seen_at = now() - interval '11 days'")
    late = lab.submit(*[f"{A}?{n}" for n in range(5)])
    lab.change("UPDATE batches SET deadline_at = now() WHERE request_id = :b", b=late)
    lab.change("UPDATE outbox SET next_at = now()")

    swept = lab.sweep()

    assert {name: count for name, count in swept.items() if count} == {"overdue": 1, "postponed": 1}
    assert lab.batch_row(late)["pending"] == 4
    assert len(lab.rows("SELECT 1 FROM known_sources")) == 1


def test_a_large_late_batch_ends_within_one_sweep_if_there_is_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner is woken once, by the page that ended the last image."""
    monkeypatch.setattr("ingest.state.expiry.MAX_ENDED_ROWS", 2)
    request_id = lab.submit(*[f"{A}?{n}" for n in range(5)])
    lab.start(request_id)
    lab.change("UPDATE batches SET deadline_at = now()")

    assert lab.sweep()["overdue"] == 1

    assert lab.batch_row(request_id)["status"] == "SEALING"
    assert [str(batch) for batch in lab.callbacks.sealed] == [request_id]


# --- without a workflow


@pytest.fixture(name="alone")
def _alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """No execution can be had; the sweeper claims two rows at a time, three times for a batch."""
    monkeypatch.setattr("ingest.supervision.without_workflow._PAGE_ROWS", 2)
    monkeypatch.setattr("ingest.supervision.without_workflow.MAX_PAGES", 3)
    lab.executions.down = True
    return lab


@pytest.mark.parametrize(("images", "claimed"), [(1, 1), (2, 2), (5, 5), (6, 6), (9, 6)])
def test_a_sweep_claims_so_many_pages_of_a_batch_and_says_how_many_images_it_handed_out(
    alone: Lab, images: int, claimed: int
) -> None:
    """As long as there is more to claim now."""
    request_id = alone.submit(*[f"{A}?{n}" for n in range(images)])
    alone.change(SILENT)

    with capture_logs() as lines:
        alone.sweep()

    assert len(alone.tasks.bodies("/compress")) == claimed
    dispatched = [line for line in lines if line["event"] == "batch.dispatched"]
    assert [(line["request_id"], line["images"]) for line in dispatched] == [(request_id, claimed)]


def test_a_sweep_that_finds_nothing_to_hand_out_says_nothing(alone: Lab) -> None:
    alone.submit(A)
    alone.change(SILENT)
    alone.change("UPDATE images SET next_at = now() + interval '1 hour'")

    with capture_logs() as lines:
        swept = alone.sweep()

    assert swept["supervised"] == 1
    assert [line for line in lines if line["event"] == "batch.dispatched"] == []


def test_the_sweepers_claims_are_no_sign_of_life_of_an_execution(alone: Lab) -> None:
    """The next sweep looks after the batch again."""
    alone.submit(A)
    alone.change(SILENT)

    alone.sweep()

    assert alone.rows("SELECT heartbeat_at < now() - interval '50 minutes' AS silent FROM batches") == [
        {"silent": True}
    ]


def test_only_the_images_whose_tasks_were_refused_are_given_back(alone: Lab) -> None:
    """For half a minute; the others have their tasks, and no further page is claimed."""
    request_id = alone.submit(*[f"{A}?{n}" for n in range(4)])
    alone.change(SILENT)
    create = alone.tasks.create

    def refusing_the_second(queue: str, task_id: str, **task: Any) -> None:
        body: Mapping[str, Any] = task["body"]
        alone.tasks.down = body.get("url") == f"{A}?1"
        create(queue, task_id, **task)

    alone.tasks.create = refusing_the_second  # type: ignore[method-assign]
    swept = alone.sweep()

    rows = alone.rows(
        "SELECT status, attempt, extract(epoch FROM next_at - now())\\:\\:float AS wait_s FROM images"
        " WHERE batch = :b ORDER BY row_number",
        b=request_id,
    )
    assert [(row["status"], row["attempt"]) for row in rows] == [
        ("DISPATCHED", 1),
        ("PENDING", 1),
        ("PENDING", 0),
        ("PENDING", 0),
    ]
    assert 20 < rows[1]["wait_s"] <= 30
    assert (swept["supervised"], swept["postponed"]) == (0, 1)
