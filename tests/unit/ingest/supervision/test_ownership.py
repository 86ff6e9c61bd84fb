"""Who supervises a batch: start, take-over, release, failure."""

from __future__ import annotations

from typing import Any

import pytest

from support.ingest_service import Lab, MakeLab

A = "https://a.example/1.jpg"


def start(lab: Lab, request_id: str, execution: str) -> Any:
    """Ask to become the owner."""
    return lab.batch_call(request_id, "start", execution=execution, callback_url="http://callback.test/x")


def fail(lab: Lab, request_id: str, execution: str) -> Any:
    """Report that an execution failed."""
    error = {"message": "boom\x00", "code": 500, "tags": ["HttpError"], "reason": None}
    return lab.batch_call(request_id, "fail", execution=execution, step="dispatch", error=error)


def test_start_makes_the_execution_the_owner(lab: Lab) -> None:
    """The batch is processing and knows whom to wake."""
    request_id = lab.submit(A)

    answer = start(lab, request_id, execution := lab.new_execution())

    row = lab.batch_row(request_id)
    assert (answer.json["owner"], answer.json["status"]) == (True, "PROCESSING")
    assert (row["execution"], row["callback_url"]) == (execution, "http://callback.test/x")
    assert row["started_at"] is not None


def test_start_may_be_repeated_by_the_owner(lab: Lab) -> None:
    """After an answer that got lost."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    assert start(lab, request_id, execution).json["owner"] is True


@pytest.mark.fault("A12")
def test_a_second_execution_is_turned_away_while_the_first_lives(lab: Lab) -> None:
    """Two executions of one batch are an accident that must not matter."""
    request_id = lab.submit(A)
    first = lab.start(request_id)

    answer = start(lab, request_id, lab.new_execution())

    assert answer.json["owner"] is False
    assert lab.batch_row(request_id)["execution"] == first


def test_a_dead_owner_is_replaced(lab: Lab) -> None:
    """Finished, failed or unknown: the next one takes over."""
    request_id = lab.submit(A)
    lab.executions.live.remove(lab.start(request_id))

    answer = start(lab, request_id, second := lab.new_execution())

    assert answer.json["owner"] is True
    assert lab.batch_row(request_id)["execution"] == second


def test_an_execution_that_died_without_a_word_leaves_no_error(lab: Lab) -> None:
    """Nobody knows why; subscribers are told of errors that are known."""
    request_id = lab.submit(A)
    lab.executions.live.remove(lab.start(request_id))
    start(lab, request_id, lab.new_execution())

    assert lab.rows("SELECT error IS NULL AS nothing FROM batches") == [{"nothing": True}]


def test_a_rival_that_takes_over_in_between_keeps_the_batch(lab: Lab) -> None:
    """What the Executions API said about one owner is not used against the next."""
    request_id = lab.submit(A)
    lab.executions.live.remove(lab.start(request_id))
    rival = lab.new_execution()

    def rival_is_faster() -> None:
        lab.executions.before_answer = lambda: None
        lab.change("UPDATE batches SET execution = :rival", rival=rival)

    lab.executions.before_answer = rival_is_faster

    answer = start(lab, request_id, lab.new_execution())

    assert answer.json["owner"] is False
    assert lab.batch_row(request_id)["execution"] == rival


def test_an_execution_that_always_comes_too_late_gives_up(lab: Lab) -> None:
    """Each time it has asked, the next rival has died in turn: after five of them the batch is left to the others."""
    request_id = lab.submit(A)
    lab.executions.live.remove(lab.start(request_id))
    rivals = (f"rival-{number}" for number in range(9))
    lab.executions.before_answer = lambda: lab.change("UPDATE batches SET execution = :rival", rival=next(rivals))

    answer = start(lab, request_id, lab.new_execution())

    assert (answer.json["owner"], answer.json["status"], answer.json["request_id"]) == (False, "PROCESSING", request_id)
    assert lab.executions.asked[1:] == [f"rival-{number}" for number in range(4)]
    assert lab.batch_row(request_id)["execution"] == "rival-4"


def test_a_start_is_a_sign_of_life(lab: Lab) -> None:
    """Of this batch; the first one says when the work began, a later one does not."""
    silent = "UPDATE batches SET heartbeat_at = now() - interval '1 hour', started_at = started_at - interval '1 hour'"
    request_id, _other = lab.submit(A), lab.submit(A)
    execution = lab.start(request_id)
    lab.change(silent)
    began = lab.batch_row(request_id)["started_at"]

    lab.start(request_id, execution)

    fresh = lab.rows("SELECT request_id FROM batches WHERE heartbeat_at > now() - interval '1 minute'")
    assert [str(row["request_id"]) for row in fresh] == [request_id]
    assert lab.batch_row(request_id)["started_at"] == began


def test_start_waits_for_the_executions_api(lab: Lab) -> None:
    """503: without knowing whether the owner lives nothing is decided."""
    request_id = lab.submit(A)
    lab.start(request_id)
    lab.executions.down = True

    answer = start(lab, request_id, lab.new_execution())

    assert (answer.code, answer.reason) == (503, "EXECUTIONS_UNAVAILABLE")


def test_a_finished_batch_has_no_new_owner(lab: Lab) -> None:
    """Its status is told instead."""
    request_id = lab.submit(A)
    lab.finish_all(request_id)
    answer = start(lab, request_id, lab.new_execution())
    assert (answer.json["owner"], answer.json["status"]) == (False, "COMPLETED")


def test_process_creates_one_execution_and_then_tells_the_status(lab: Lab) -> None:
    """Cloud Tasks may deliver twice."""
    request_id = lab.submit(A)

    first = lab.internal("tasks", "POST", "/process", {"request_id": request_id})
    second = lab.internal("tasks", "POST", "/process", {"request_id": request_id})

    assert (first.json["message"], second.json["message"]) == ("Processing was started", "Processing is under way")
    assert len(lab.executions.created) == 1


def test_process_of_a_finished_batch_says_so(lab: Lab) -> None:
    """In the words of the first release."""
    request_id = lab.submit(A)
    lab.finish_all(request_id)

    answer = lab.internal("tasks", "POST", "/process", {"request_id": request_id})

    assert answer.json == {"request_id": request_id, "status": "COMPLETED", "message": "Processed successfully"}
    assert lab.executions.created == []


def test_process_asks_to_be_called_again_while_executions_cannot_be_created(lab: Lab) -> None:
    """503 with Retry-After: the queue keeps the task."""
    request_id = lab.submit(A)
    lab.executions.down = True

    answer = lab.internal("tasks", "POST", "/process", {"request_id": request_id})

    assert (answer.code, answer.reason) == (503, "EXECUTIONS_UNAVAILABLE")
    assert "Retry-After" in answer.headers


def test_process_replaces_a_dead_execution(lab: Lab) -> None:
    """A batch whose execution died is started again."""
    request_id = lab.submit(A)
    lab.internal("tasks", "POST", "/process", {"request_id": request_id})
    lab.executions.live.clear()

    lab.internal("tasks", "POST", "/process", {"request_id": request_id})

    assert len(lab.executions.created) == 2
    assert lab.batch_row(request_id)["execution"] == lab.executions.created[1][1]


def test_release_frees_the_batch_for_a_successor(lab: Lab) -> None:
    """And may be repeated."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)

    answers = [lab.batch_call(request_id, "release", execution=execution) for _ in range(2)]

    assert [answer.code for answer in answers] == [200, 200]
    assert lab.start(request_id) != execution


def test_a_release_is_no_failure_and_no_end(lab: Lab) -> None:
    """It says which batch it was, and the batch waits for its successor as if it had just been heard of."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    lab.change("UPDATE batches SET heartbeat_at = now() - interval '1 hour'")

    answer = lab.batch_call(request_id, "release", execution=execution)

    assert answer.json == {"request_id": request_id, "status": "PROCESSING"}
    row = lab.batch_row(request_id)
    assert (row["execution"], row["callback_url"], row["failures"], row["error"]) == (None, None, 0, None)
    assert lab.rows("SELECT heartbeat_at > now() - interval '1 minute' AS heard FROM batches") == [{"heard": True}]
    assert lab.batch_call(request_id, "release", execution=execution).json == answer.json


def test_a_failure_is_recorded_with_its_step_and_frees_the_batch(lab: Lab) -> None:
    """The next execution gets its chance; the status page shows what happened."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)

    answer = fail(lab, request_id, execution)

    error = lab.status(request_id)["error"]
    assert (answer.json["terminal"], answer.json["status"]) == (False, "PROCESSING")
    assert (error["step"], error["error"]["message"]) == ("dispatch", "boom")
    assert lab.batch_row(request_id)["execution"] is None


def test_a_failure_told_twice_counts_once(lab: Lab) -> None:
    """A repeat after a lost answer gets the same answer."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)

    answers = [fail(lab, request_id, execution).json for _ in range(2)]

    assert answers[0] == answers[1]
    assert lab.batch_row(request_id)["failures"] == 1


@pytest.mark.fault("A14")
def test_the_budget_of_failures_ends_the_batch(make_lab: MakeLab) -> None:
    """Its open images fail with it, the counters add up, and the subscribers will hear of it."""
    lab = make_lab(INGEST_MAX_EXECUTION_FAILURES="2")
    request_id = lab.submit(f"{A} {A}?2")
    first = lab.start(request_id)
    lab.report(lab.claim(request_id, first)[0])
    fail(lab, request_id, first)

    answer = fail(lab, request_id, lab.start(request_id))

    assert (answer.json["terminal"], answer.json["status"]) == (True, "FAILED")
    assert answer.json["message"] == "Failed in step dispatch after 2 tries"
    assert answer.json["counts"] == {"total": 2, "pending": 0, "succeeded": 1, "failed": 1}
    assert [row["kind"] for row in lab.rows("SELECT kind FROM outbox")] == ["notify"]


@pytest.fixture(name="once")
def _once(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """One failure of supervision ends a batch; two rows of it in a page."""
    monkeypatch.setattr("ingest.state.expiry.MAX_ENDED_ROWS", 2)
    return make_lab(INGEST_MAX_EXECUTION_FAILURES="1")


def test_a_large_batch_fails_whole(once: Lab) -> None:
    """Page after page, and with what happened in each image's detail; its end is told after the grace."""
    request_id = once.submit(*[f"{A}?{n}" for n in range(6)])

    answer = fail(once, request_id, once.start(request_id))

    assert (answer.json["terminal"], answer.json["status"]) == (True, "FAILED")
    assert answer.json["counts"] == {"total": 6, "pending": 0, "succeeded": 0, "failed": 6}
    images = once.rows("SELECT DISTINCT status, code, detail FROM images")
    assert images == [{"status": "FAILED", "code": "BATCH_FAILED", "detail": "Supervision failed 1 times."}]
    assert once.rows("SELECT next_at > now() AS later FROM outbox WHERE kind = 'notify'") == [{"later": True}]


def test_the_failure_that_ended_a_batch_told_twice_is_answered_the_same(once: Lab) -> None:
    request_id = once.submit(A)
    execution = once.start(request_id)

    answers = [fail(once, request_id, execution).json for _ in range(2)]

    assert answers[0]["terminal"] is True
    assert answers[1] == answers[0]


def test_a_batch_that_fails_while_its_sheet_is_imported_keeps_what_is_stored(once: Lab) -> None:
    """Its images fail with it; nothing of the rest of the sheet is counted."""
    request_id = once.submit(A, f"{A}?2")
    execution = once.start(request_id)
    once.change(
        "INSERT INTO imports (batch, csv_uri, object_generation, asked, rows_stored, images_stored)"
        " VALUES (:b, 'gs://b/o', 1, '{}', 2, 2)",
        b=request_id,
    )
    once.change("UPDATE batches SET status = 'IMPORTING', total = 50, pending = 50, row_count = 50")

    answer = fail(once, request_id, execution)

    assert (answer.json["terminal"], answer.json["status"]) == (True, "FAILED")
    assert answer.json["counts"] == {"total": 2, "pending": 0, "succeeded": 0, "failed": 2}
    assert once.batch_row(request_id)["row_count"] == 2


def test_an_import_that_fails_before_its_first_row_ends_empty(once: Lab) -> None:
    request_id = once.submit("")
    execution = once.start(request_id)
    once.change(
        "INSERT INTO imports (batch, csv_uri, object_generation, asked) VALUES (:b, 'x', 1, '{}')", b=request_id
    )
    once.change("UPDATE batches SET status = 'IMPORTING', total = 50, pending = 50, sealed_at = NULL")

    answer = fail(once, request_id, execution)

    assert (answer.json["terminal"], answer.json["status"]) == (True, "FAILED")
    assert answer.json["counts"] == {"total": 0, "pending": 0, "succeeded": 0, "failed": 0}


def test_a_batch_does_not_fail_over_the_head_of_an_outcome(once: Lab) -> None:
    """Whose image is held is ended by the next report of a failure, or by the deadline."""
    request_id = once.submit(A)
    execution = once.start(request_id)
    with once.engine.connect() as holder:
        holder.exec_driver_sql("SELECT 1 FROM images FOR UPDATE")
        answer = fail(once, request_id, execution)

    assert (answer.json["terminal"], answer.json["status"]) == (False, "PROCESSING")
    assert once.batch_row(request_id)["pending"] == 1
    assert fail(once, request_id, once.start(request_id)).json["terminal"] is True


def test_a_batch_whose_images_are_done_fails_without_its_report(once: Lab) -> None:
    """What was compressed stays."""
    request_id = once.submit(A)
    execution = once.start(request_id)
    once.report(once.claim(request_id, execution)[0])

    answer = fail(once, request_id, execution)

    assert (answer.json["terminal"], answer.json["status"]) == (True, "FAILED")
    assert answer.json["counts"] == {"total": 1, "pending": 0, "succeeded": 1, "failed": 0}


def test_the_failure_of_another_execution_is_refused(lab: Lab) -> None:
    """Also that of one which failed before, once a successor owns the batch."""
    request_id = lab.submit(A)
    first = lab.start(request_id)
    fail(lab, request_id, first)
    second = lab.start(request_id)

    answer = fail(lab, request_id, first)

    assert (answer.code, answer.reason) == (409, "NOT_OWNER")
    assert answer.json["error"]["details"][0]["metadata"] == {"request_id": request_id, "execution": first}
    assert (lab.batch_row(request_id)["execution"], lab.batch_row(request_id)["failures"]) == (second, 1)


def test_an_execution_that_fails_after_the_end_changes_nothing(lab: Lab) -> None:
    """Only telling the subscribers went wrong; the outbox sees to that."""
    request_id = lab.submit(A)
    execution = lab.finish_all(request_id)

    answer = fail(lab, request_id, execution)

    assert (answer.json["terminal"], answer.json["status"]) == (False, "COMPLETED")


@pytest.mark.parametrize("verb", ["start", "claim", "release"])
def test_an_unknown_batch_is_not_found(lab: Lab, verb: str) -> None:
    """404 on every route of the workflow."""
    body: dict[str, Any] = {"execution": lab.new_execution()}
    more: dict[str, dict[str, Any]] = {"start": {"callback_url": "http://x/"}, "claim": {"max_rows": 1}}
    body |= more.get(verb, {})
    answer = lab.batch_call("00000000-0000-4000-8000-000000000000", verb, **body)
    assert (answer.code, answer.reason) == (404, "BATCH_NOT_FOUND")
