"""Reports of attempts: the first terminal one wins, nothing counts twice, the last image seals once."""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.dispatch.claim import claim_page
from ingest.dispatch.outcome import Recorded, host_answer, record_outcome, retry_delay_s
from ingest.http.internal_schemas import OutcomeRequest
from ingest.state.batch import BatchStatus, ImageStatus
from ingest.state.hosts import AnswerKind, HostAnswer
from ingest.state.images import Outcome
from support.ingest_service import Lab, MakeLab, claimed_of

A, B = "https://a.example/1.jpg", "https://a.example/2.jpg"
RECORDED = {"host_closed_s": 0.0}
TROUBLE = {"outcome": "FAILED", "code": "HTTP_503", "detail": "busy", "transient": True}
GONE = {"outcome": "FAILED", "code": "HTTP_404", "detail": "not there"}
GROWN = {"bytes_in": 1000, "bytes_out": 1300, "detail": "LARGER_THAN_SOURCE"}


def image(lab: Lab, image_id: str) -> dict[str, Any]:
    """Return the row of an image."""
    return dict(lab.rows("SELECT * FROM images WHERE id = CAST(:id AS uuid)", id=image_id)[0])


def in_progress(lab: Lab, *cells: str) -> tuple[str, str, list[dict[str, Any]]]:
    """Return a batch, its execution and the payloads of its first page."""
    request_id = lab.submit(*cells)
    execution = lab.start(request_id)
    return request_id, execution, lab.claim(request_id, execution)


@pytest.mark.feature("52")
def test_a_success_is_stored_with_its_measures(lab: Lab) -> None:
    """Everything the compressor says is kept and the batch adds the bytes up."""
    request_id, _, [payload, _] = in_progress(lab, f"{A} {B}")

    lab.report(payload)

    row = image(lab, payload["image_id"])
    assert (row["status"], row["width"], row["height"], row["bytes_out"]) == ("SUCCEEDED", 10, 20, 400)
    batch = lab.batch_row(request_id)
    assert (batch["pending"], batch["succeeded"], batch["bytes_in"], batch["bytes_out"]) == (1, 1, 1000, 400)


@pytest.mark.fault("A3")
def test_a_report_that_comes_twice_counts_once(lab: Lab) -> None:
    """The second is answered, changes nothing, and is no error."""
    request_id, _, [payload, _] = in_progress(lab, f"{A} {B}")

    first, second = lab.report(payload), lab.report(payload)

    assert (first.json["applied"], second.json["applied"]) == (True, False)
    assert second.json["image_status"] == "SUCCEEDED"
    assert lab.batch_row(request_id)["pending"] == 1


@pytest.mark.fault("A5")
def test_a_failure_cannot_undo_a_success(lab: Lab) -> None:
    """The first terminal outcome wins."""
    _, _, [payload, _] = in_progress(lab, f"{A} {B}")
    lab.report(payload)

    answer = lab.report(payload, **GONE)

    assert answer.json == {
        "applied": False,
        "image_status": "SUCCEEDED",
        "batch_status": "PROCESSING",
        "host_closed_s": 0.0,
    }


@pytest.mark.feature("15")
def test_transient_trouble_brings_the_image_back_later(lab: Lab) -> None:
    """It is pending again, with a time, and the batch does not count it as failed."""
    request_id, execution, [payload] = in_progress(lab, A)

    answer = lab.report(payload, **TROUBLE, retry_after_s=100)

    assert answer.json == {
        "applied": True,
        "image_status": "PENDING",
        "batch_status": "PROCESSING",
        "host_closed_s": 0.0,
    }
    claimed = lab.next_claim(request_id, execution)
    assert (claimed["open"], claimed["image_count"]) == (1, 0)
    assert claimed["next_claim_s"] == 60


def test_the_same_trouble_told_twice_does_not_wait_longer(lab: Lab) -> None:
    """A redelivered report of an attempt that is already recorded is a no-op."""
    _, _, [payload] = in_progress(lab, A)
    lab.report(payload, **TROUBLE)
    before = image(lab, payload["image_id"])

    answer = lab.report(payload, **TROUBLE, retry_after_s=200)

    assert answer.json["applied"] is False
    assert image(lab, payload["image_id"]) == before


def test_a_later_attempt_has_a_higher_number_and_another_task(lab: Lab) -> None:
    """So that Cloud Tasks' memory of names does not swallow it."""
    request_id, execution, [payload] = in_progress(lab, A)
    lab.report(payload, **TROUBLE)
    lab.change("UPDATE images SET next_at = now()")

    page = lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json

    [again] = claimed_of(page)
    assert (payload["attempt"], again["payload"]["attempt"]) == (1, 2)
    assert again["task_id"] not in {"", payload["image_id"]}


@pytest.mark.fault("A5")
def test_a_stale_failure_cannot_win(lab: Lab) -> None:
    """A permanent failure of an attempt that was given up says nothing about the present one."""
    request_id, execution, [payload] = in_progress(lab, A)
    lab.change("UPDATE images SET lease_until = now()")
    [second] = lab.claim(request_id, execution)

    stale = lab.report(payload, **GONE)
    current = lab.report(second, **GONE)

    assert (stale.json["applied"], stale.json["image_status"]) == (False, "DISPATCHED")
    assert (current.json["applied"], current.json["image_status"]) == (True, "FAILED")


@pytest.mark.fault("A5")
def test_a_stale_deferral_takes_nothing_back(lab: Lab) -> None:
    """That the host was closed for an attempt that was given up says nothing about the present one."""
    request_id, execution, [payload] = in_progress(lab, A)
    lab.change("UPDATE images SET lease_until = now()")
    lab.claim(request_id, execution)
    before = image(lab, payload["image_id"])

    stale = lab.report(payload, outcome="DEFERRED", code="HOST_CLOSED", transient=True, output_url=None)

    assert (stale.json["applied"], stale.json["image_status"]) == (False, "DISPATCHED")
    assert image(lab, payload["image_id"]) == before


@pytest.mark.parametrize(
    ("of_batch", "batch_status"),
    [
        ("cancel_requested = true", "PROCESSING"),
        ("pending = 0, failed = 1, status = 'SEALING', sealed_at = now()", "SEALING"),
        (
            "pending = 0, failed = 1, status = 'CANCELLED', sealed_at = now(), finished_at = now()",
            "CANCELLED",
        ),
    ],
    ids=["cancelled", "sealing", "ended"],
)
def test_a_deferral_brings_no_image_back_whose_batch_is_coming_to_its_end(
    lab: Lab, of_batch: str, batch_status: str
) -> None:
    """After a cancellation no image may become due again."""
    _, _, [payload] = in_progress(lab, A)
    lab.change(f"UPDATE batches SET {of_batch}")
    before = image(lab, payload["image_id"])

    answer = lab.report(payload, outcome="DEFERRED", code="HOST_CLOSED", transient=True, output_url=None)

    assert answer.json == {
        "applied": False,
        "image_status": "DISPATCHED",
        "batch_status": batch_status,
        "host_closed_s": 0.0,
    }
    assert image(lab, payload["image_id"]) == before


def recorded(lab: Lab, payload: dict[str, Any], **changes: Any) -> Recorded:
    """Report an outcome, and return what the caller of the function is told."""
    outcome = OutcomeRequest.model_validate(lab.outcome_of(payload, **changes)).to_outcome()
    return record_outcome(lab.engine, lab.settings, uuid.UUID(payload["image_id"]), outcome)


NOT_ASKED = {"outcome": "FAILED", "code": "URL_FORBIDDEN", "first_byte_ms": None}
DEFERRED = {"outcome": "DEFERRED", "code": "HOST_CLOSED", "transient": True, "output_url": None}


@pytest.mark.parametrize(
    ("cells", "reports", "expected"),
    [
        (f"{A} {B}", [{}], Recorded(True, ImageStatus.SUCCEEDED, BatchStatus.PROCESSING, sealed=False)),
        (f"{A} {A}", [{}], Recorded(True, ImageStatus.SUCCEEDED, BatchStatus.SEALING, sealed=True)),
        (f"{A} {B}", [{}, {}], Recorded(False, ImageStatus.SUCCEEDED, BatchStatus.PROCESSING, sealed=False)),
        (A, [{}, {}], Recorded(False, ImageStatus.SUCCEEDED, BatchStatus.SEALING, sealed=False)),
        (f"{A} {A} {B}", [GONE], Recorded(True, ImageStatus.FAILED, BatchStatus.PROCESSING, sealed=False, ended=2)),
        (f"{A} {A}", [GONE], Recorded(True, ImageStatus.FAILED, BatchStatus.SEALING, sealed=True, ended=2)),
        (A, [GONE, GONE], Recorded(False, ImageStatus.FAILED, BatchStatus.SEALING, sealed=False)),
        (A, [TROUBLE], Recorded(True, ImageStatus.PENDING, BatchStatus.PROCESSING, sealed=False)),
        (A, [TROUBLE, TROUBLE], Recorded(False, ImageStatus.PENDING, BatchStatus.PROCESSING, sealed=False)),
        (A, [DEFERRED], Recorded(True, ImageStatus.PENDING, BatchStatus.PROCESSING, sealed=False)),
        (A, [DEFERRED, DEFERRED], Recorded(False, ImageStatus.PENDING, BatchStatus.PROCESSING, sealed=False)),
        (A, [{"first_byte_ms": None}], Recorded(True, ImageStatus.SUCCEEDED, BatchStatus.SEALING, sealed=True)),
        (A, [NOT_ASKED], Recorded(True, ImageStatus.FAILED, BatchStatus.SEALING, sealed=True, ended=1)),
        (A, [TROUBLE, {}], Recorded(True, ImageStatus.SUCCEEDED, BatchStatus.SEALING, sealed=True)),
    ],
)
def test_whoever_records_an_outcome_is_told_what_it_changed(
    lab: Lab, cells: str, reports: list[dict[str, Any]], expected: Recorded
) -> None:
    """Of the last of some reports about one attempt: whether it counted, how things stand, and whether it sealed."""
    _, _, [payload, *_] = in_progress(lab, cells)

    *_, found = [recorded(lab, payload, **report) for report in reports]

    assert found == expected
    assert type(found.sealed) is bool


def test_a_deferral_of_an_image_that_waits_again_changes_nothing(lab: Lab) -> None:
    """Told twice, it does not put the image off any further."""
    _, _, [payload] = in_progress(lab, A)
    lab.report(payload, **DEFERRED)
    before = image(lab, payload["image_id"])

    again = lab.report(payload, **DEFERRED)

    assert (again.json["applied"], again.json["image_status"]) == (False, "PENDING")
    assert image(lab, payload["image_id"]) == before


def test_transient_trouble_after_a_cancellation_ends_the_image(lab: Lab) -> None:
    """It was cancelled like those that were not under way, and counts as they do."""
    request_id, _, [payload, _] = in_progress(lab, f"{A} {B}")
    lab.change("UPDATE batches SET cancel_requested = true")

    answer = lab.report(payload, **TROUBLE)

    assert (answer.json["applied"], answer.json["image_status"]) == (True, "CANCELLED")
    row = image(lab, payload["image_id"])
    assert (row["status"], row["code"], row["detail"]) == ("CANCELLED", "CANCELLED", "busy")
    batch = lab.batch_row(request_id)
    assert (batch["pending"], batch["failed"]) == (1, 1)


def test_an_image_that_waits_says_what_its_last_attempt_met(lab: Lab) -> None:
    """Whoever looks at the batch sees why it is not done; the attempt is spent."""
    _, _, [payload] = in_progress(lab, A)

    lab.report(payload, **TROUBLE)

    row = image(lab, payload["image_id"])
    assert (row["status"], row["code"], row["detail"]) == ("PENDING", "HTTP_503", "busy")
    assert (row["attempt"], row["attempt_limit"]) == (1, lab.settings.max_attempts)


def jitter(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Draw 0 from now on; return the list of bounds between which was drawn."""
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.0

    monkeypatch.setattr("random.uniform", uniform)
    return drawn


def test_the_wait_after_trouble_doubles_with_each_attempt_that_is_spent(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jitter is drawn between nothing and this."""
    lab = make_lab(INGEST_MAX_ATTEMPTS="5", INGEST_RETRY_BASE_S="3")
    _, _, [payload] = in_progress(lab, A)
    drawn = jitter(monkeypatch)

    for attempt in (1, 2, 3, 4):
        lab.change("UPDATE images SET status = 'DISPATCHED', attempt = :n, lease_until = now()", n=attempt)
        lab.report({**payload, "attempt": attempt}, **TROUBLE)

    assert drawn == [(0.0, 3.0), (0.0, 6.0), (0.0, 12.0), (0.0, 24.0)]


def test_a_refusal_waits_as_long_as_the_attempt_before_it(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not spent, so the next wait is no longer for it."""
    lab = make_lab(INGEST_MAX_ATTEMPTS="5", INGEST_RETRY_BASE_S="3")
    _, _, [payload] = in_progress(lab, A)
    lab.change("UPDATE images SET attempt = 3")
    drawn = jitter(monkeypatch)

    lab.report({**payload, "attempt": 3}, **TROUBLE | {"code": "RATE_LIMITED"})

    row = image(lab, payload["image_id"])
    assert drawn == [(0.0, 6.0)]
    assert row["attempt_limit"] == 6


def test_a_failure_counts_among_the_failed_and_nowhere_else(lab: Lab) -> None:
    """However many bytes came, from wherever: only what has an output is measured."""
    request_id, _, [payload, _] = in_progress(lab, f"{A} {B}")

    lab.report(payload, **GONE, bytes_in=1000, bytes_out=1300, reused=True)

    batch = lab.batch_row(request_id)
    counted = ("pending", "succeeded", "failed", "bytes_in", "bytes_out", "larger_images", "larger_bytes", "reused")
    assert {name: batch[name] for name in counted} == dict.fromkeys(counted, 0) | {"pending": 1, "failed": 1}
    row = image(lab, payload["image_id"])
    assert (row["bytes_in"], row["bytes_out"], row["output_url"]) == (1000, None, None)


def test_an_attempt_that_failed_has_no_output_whatever_it_says(lab: Lab) -> None:
    """Its object would be one that nobody counts."""
    _, _, [payload] = in_progress(lab, A)
    outcome = OutcomeRequest.model_validate(lab.outcome_of(payload, **GONE)).to_outcome()
    outcome = replace(outcome, output_url="http://storage.test/orphan.jpg", bytes_out=7)

    record_outcome(lab.engine, lab.settings, uuid.UUID(payload["image_id"]), outcome)

    row = image(lab, payload["image_id"])
    assert (row["status"], row["output_url"], row["bytes_out"]) == ("FAILED", None, None)


@pytest.mark.parametrize("closely", [False, True], ids=["at-once", "looked-at-closely"])
@pytest.mark.parametrize(
    ("measures", "bytes_in", "bytes_out", "larger", "reused"),
    [
        ({"bytes_in": 1000, "bytes_out": 400}, 2000, 800, (0, 0), 0),
        ({"bytes_in": 1000, "bytes_out": 1300, "reused": True}, 2000, 2600, (2, 600), 2),
        ({"bytes_in": None, "bytes_out": 400}, 0, 800, (0, 0), 0),
    ],
    ids=["smaller", "larger-and-reused", "unknown-source"],
)
def test_a_success_counts_with_all_images_that_it_ends(
    lab: Lab,
    closely: bool,
    measures: dict[str, Any],
    bytes_in: int,
    bytes_out: int,
    larger: tuple[int, int],
    reused: int,
) -> None:
    """Both ways of recording it count the same; the second one is for hosts that have just had trouble."""
    request_id, _, [payload, _] = in_progress(lab, f"{A} {A} {B}")
    lab.change("UPDATE hosts SET failures = :n", n=int(closely))

    answer = lab.report(payload, **measures)

    assert answer.json["applied"] is True
    batch = lab.batch_row(request_id)
    assert (batch["pending"], batch["succeeded"], batch["failed"]) == (1, 2, 0)
    assert (batch["bytes_in"], batch["bytes_out"], batch["reused"]) == (bytes_in, bytes_out, reused)
    assert (batch["larger_images"], batch["larger_bytes"]) == larger
    [host] = lab.rows("SELECT succeeded, bytes_in, bytes_out, failures FROM batch_hosts")
    assert host == {"succeeded": 2, "bytes_in": bytes_in, "bytes_out": bytes_out, "failures": 0}


def test_the_success_of_an_image_that_waits_again_says_nothing_of_its_host(lab: Lab) -> None:
    """Without a lease nobody knows when the attempt began; the image is done all the same."""
    _, _, [payload, _] = in_progress(lab, f"{A} {B}")
    lab.report(payload, **TROUBLE)
    lab.change("UPDATE hosts SET failures = 1")  # so that it is looked at closely
    before = lab.rows("SELECT * FROM hosts")

    answer = lab.report(payload)

    assert (answer.json["applied"], answer.json["image_status"]) == (True, "SUCCEEDED")
    assert lab.rows("SELECT * FROM hosts") == before


@pytest.mark.parametrize(
    ("code", "succeeded", "transient", "first_byte_ms", "kind"),
    [
        ("OK", True, False, 50, AnswerKind.GOOD),
        ("OK", True, False, None, AnswerKind.GOOD),
        ("HTTP_404", False, False, 50, AnswerKind.GOOD),
        ("URL_INVALID", False, False, None, None),
        ("RATE_LIMITED", False, True, 50, AnswerKind.REFUSED),
        ("HTTP_5XX", False, True, 50, AnswerKind.REFUSED),
        ("INCOMPLETE", False, True, 50, AnswerKind.TROUBLE),
        ("TIMEOUT", False, True, None, AnswerKind.DEAD),
    ],
)
def test_an_outcome_says_something_of_its_host(
    lab: Lab, code: str, succeeded: bool, transient: bool, first_byte_ms: int | None, kind: AnswerKind | None
) -> None:
    """With the time at which the attempt was to start; nothing where the host was not asked."""
    started_at = datetime(2026, 1, 1, tzinfo=UTC)
    row: Any = {"lease_until": started_at + timedelta(seconds=lab.settings.lease_s)}
    retry_after_s = 7.0 if transient else None
    outcome = Outcome(
        uuid.uuid4(), 1, succeeded, transient, code, "", retry_after_s=retry_after_s, first_byte_ms=first_byte_ms
    )

    first_byte_s = None if first_byte_ms is None else 0.05
    expected = None if kind is None else HostAnswer(kind, first_byte_s, started_at, retry_after_s)
    assert host_answer(lab.settings, row, outcome) == expected


@pytest.mark.fault("A5")
def test_the_success_of_any_attempt_counts(lab: Lab) -> None:
    """Work that is done is done, whoever did it."""
    request_id, execution, [payload] = in_progress(lab, A)
    lab.change("UPDATE images SET lease_until = now()")
    lab.claim(request_id, execution)

    answer = lab.report(payload)

    assert answer.json == {
        "applied": True,
        "image_status": "SUCCEEDED",
        "batch_status": "SEALING",
        "host_closed_s": 0.0,
    }


@pytest.mark.fault("I8")
@pytest.mark.threat("T12")
def test_an_attempt_that_was_never_handed_out_is_refused(lab: Lab) -> None:
    """It can only be a mistake or a forgery."""
    _, _, [payload] = in_progress(lab, A)
    answer = lab.report(payload, attempt=2)
    assert (answer.code, answer.reason) == (400, "ATTEMPT_UNKNOWN")
    assert answer.json["error"]["details"][0]["metadata"] == {"attempt": "2", "current_attempt": "1"}


@pytest.mark.fault("I8")
@pytest.mark.threat("T12")
def test_an_image_of_another_batch_is_not_found(lab: Lab) -> None:
    """Both ids must belong together."""
    _, _, [payload] = in_progress(lab, A)
    other = str(uuid.uuid4())
    answer = lab.report(payload, **GONE, request_id=other)
    assert (answer.code, answer.reason) == (404, "IMAGE_NOT_FOUND")
    assert answer.json["error"]["details"][0]["metadata"] == {"request_id": other, "image_id": payload["image_id"]}


def test_a_success_without_an_output_is_refused(lab: Lab) -> None:
    """The database would refuse it too."""
    _, _, [payload] = in_progress(lab, A)
    answer = lab.report(payload, output_url=None)
    assert (answer.code, answer.reason) == (400, "FIELD_INVALID")


@pytest.mark.feature("15")
@pytest.mark.fault("A21", "J9")
def test_a_spent_budget_ends_the_image(make_lab: MakeLab) -> None:
    """The detail keeps what the last attempt said."""
    lab = make_lab(INGEST_MAX_ATTEMPTS="1")
    _, _, [payload] = in_progress(lab, A)

    lab.report(payload, **TROUBLE)

    row = image(lab, payload["image_id"])
    assert (row["status"], row["code"]) == ("FAILED", "ATTEMPTS_EXHAUSTED")
    assert row["detail"] == "1 attempts; the last one: HTTP_503: busy"


@pytest.mark.feature("21")
def test_one_report_settles_all_equal_urls(lab: Lab) -> None:
    """The duplicates get the output, the counters count each slot, and the batch is sealed."""
    request_id, _, payloads = in_progress(lab, f"{A} {A}", A)

    answer = lab.report(payloads[0])

    assert len(payloads) == 1
    assert answer.json["batch_status"] == "SEALING"
    status = lab.status(request_id)
    output = f"http://storage.test/{payloads[0]['image_id']}.jpg"
    assert [product["output_images"] for product in status["products"]] == [f"{output},{output}", output]
    assert status["counts"] == {"total": 3, "pending": 0, "succeeded": 3, "failed": 0}


def test_a_permanent_failure_settles_all_equal_urls(lab: Lab) -> None:
    """Slots are kept: each has its empty place."""
    request_id, _, [payload] = in_progress(lab, f"{A} {A}")

    lab.report(payload, **GONE)

    status = lab.status(request_id)
    assert status["products"][0]["output_images"] == ","
    assert [found["code"] for found in status["products"][0]["images"]] == ["HTTP_404", "HTTP_404"]


def test_the_owner_is_woken_once_when_the_last_image_ends(lab: Lab) -> None:
    """The callback is sent after the commit, by the report that sealed the batch."""
    request_id, _, payloads = in_progress(lab, f"{A} {B}")
    for payload in [*payloads, *payloads]:
        lab.report(payload)
    assert lab.callbacks.sealed == [uuid.UUID(request_id)]


@pytest.mark.threat("T12")
def test_rows_do_not_change_after_sealing(lab: Lab) -> None:
    """The report can never disagree with the rows."""
    _, _, [payload] = in_progress(lab, A)
    lab.report(payload, **GONE)
    before = image(lab, payload["image_id"])

    lab.report(payload)

    assert image(lab, payload["image_id"]) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt": 0},
        {"outcome": "MAYBE"},
        {"code": "lower"},
        {"retry_after_s": -1},
        {"bytes_in": -5},
        {"width": 2**31},
        {"detail": "nul\x00"},
        {"request_id": "x"},
    ],
)
def test_a_malformed_report_is_refused(lab: Lab, changes: dict[str, Any]) -> None:
    """400, and the image is as it was."""
    _, _, [payload] = in_progress(lab, A)
    path = f"/internal/images/{payload['image_id']}/outcome"
    headers = {"Authorization": lab.token("compressor")}

    response = lab.client().put(path, json=lab.outcome_of(payload, **changes), headers=headers)

    assert response.status_code == 400
    assert image(lab, payload["image_id"])["status"] == "DISPATCHED"


@pytest.mark.feature("15")
@pytest.mark.fault("A21")
def test_waits_grow_are_jittered_and_bounded(lab: Lab) -> None:
    """Exponential with full jitter; Retry-After is a lower bound and is clamped."""
    delays = [retry_delay_s(lab.settings, attempt, None) for attempt in range(1, 40) for _ in range(20)]
    assert max(delays) <= 300
    assert len(set(delays)) > 100
    assert retry_delay_s(lab.settings, 1, 60) == 60
    assert retry_delay_s(lab.settings, 1, 1e9) == 300


@pytest.mark.parametrize(
    ("attempt", "retry_after_s", "least_s", "most_s"),
    [
        (1, None, 0.0, 3.0),
        (2, None, 0.0, 6.0),
        (3, 5.0, 5.0, 12.0),
        (3, 20.0, 20.0, 20.0),
        (7, None, 0.0, 192.0),
        (8, None, 0.0, 300.0),
        (2000, None, 0.0, 300.0),
        (1, 400.0, 300.0, 300.0),
    ],
)
def test_a_wait_lies_between_what_the_host_asks_for_and_what_doubles_with_each_attempt(
    make_lab: MakeLab,
    monkeypatch: pytest.MonkeyPatch,
    attempt: int,
    retry_after_s: float | None,
    least_s: float,
    most_s: float,
) -> None:
    """Whatever is drawn; five minutes are the longest wait, however many attempts there were."""
    settings = make_lab(INGEST_RETRY_BASE_S="3").settings
    found = []
    for end in (min, max):
        monkeypatch.setattr("random.uniform", lambda *bounds, end=end: end(bounds))
        found.append(retry_delay_s(settings, attempt, retry_after_s))

    assert found == [least_s, most_s]


@pytest.mark.fault("A18")
def test_a_hundred_batches_finished_by_two_at_once_are_sealed_once_each(lab: Lab) -> None:
    """The last-image race: two transactions end the two images of a batch at the same moment."""
    payloads: list[dict[str, Any]] = []
    for _ in range(100):
        request_id = uuid.UUID(lab.submit(f"{A} {B}"))
        page = claim_page(lab.engine, lab.settings, request_id, execution=None, max_rows=100)
        payloads += [found.payload for found in page.images]

    def report(payload: dict[str, Any]) -> bool:
        outcome = OutcomeRequest.model_validate(lab.outcome_of(payload)).to_outcome()
        return record_outcome(lab.engine, lab.settings, uuid.UUID(payload["image_id"]), outcome).sealed

    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(report, payloads))

    assert sum(sealed) == 100
    found = lab.rows("SELECT status, pending, succeeded FROM batches")
    assert found == [{"status": "SEALING", "pending": 0, "succeeded": 2}] * 100
    late = "SELECT 1 FROM images JOIN batches ON batch = request_id WHERE images.finished_at > batches.sealed_at"
    assert lab.rows(late) == [], "an image ended after its batch was sealed"


@pytest.mark.feature("52")
def test_shuffled_duplicate_stale_and_contradicting_reports_leave_exact_counters(make_lab: MakeLab) -> None:
    """Whatever order and however often: every image ends once, every batch is sealed once, and the sums are right."""
    lab = make_lab(INGEST_MAX_ATTEMPTS="3", INGEST_RETRY_BASE_S="0")
    chance = random.Random(7)  # a failure must be repeatable
    ids = [lab.submit(f"{A}?{n} {B}?{n} {A}?{n}", f"{B}?x{n}") for n in range(12)]
    payloads: list[dict[str, Any]] = []
    for request_id in ids:
        for _round in range(3):
            page = claim_page(lab.engine, lab.settings, uuid.UUID(request_id), execution=None, max_rows=100)
            payloads += [found.payload for found in page.images]
            lab.change("UPDATE images SET lease_until = now() WHERE attempt < 3 AND status = 'DISPATCHED'")
    reports = [
        (payload, kind)
        for payload in payloads
        for kind in chance.choices([{}, GROWN, GONE, TROUBLE], weights=[2, 1, 1, 2], k=3)
    ]
    # Every image is sure to get one outcome of its last attempt.
    reports += [(payload, TROUBLE) for payload in payloads if payload["attempt"] == 3]
    chance.shuffle(reports)

    def report(item: tuple[dict[str, Any], dict[str, Any]]) -> bool:
        payload, kind = item
        outcome = OutcomeRequest.model_validate(lab.outcome_of(payload, **kind)).to_outcome()
        return record_outcome(lab.engine, lab.settings, uuid.UUID(payload["image_id"]), outcome).sealed

    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(report, reports))

    wrong = lab.rows(
        """
        SELECT request_id FROM batches WHERE status <> 'SEALING' OR pending <> 0
            OR succeeded <> (SELECT count(*) FROM images WHERE batch = request_id AND status = 'SUCCEEDED')
            OR failed <> (SELECT count(*) FROM images WHERE batch = request_id AND status = 'FAILED')
            OR bytes_in <> (SELECT coalesce(sum(bytes_in), 0) FROM images
                            WHERE batch = request_id AND status = 'SUCCEEDED')
            OR (larger_images, larger_bytes) <> (SELECT count(*), coalesce(sum(bytes_out - bytes_in), 0) FROM images
                            WHERE batch = request_id AND status = 'SUCCEEDED' AND bytes_out > bytes_in)
        """
    )
    assert (wrong, sum(sealed)) == ([], 12)
