"""What the sweeper finds: lost hints, dead executions, silent workers, batches that nobody supervises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

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
