"""Outcomes that are told together do what they would do one after the other."""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from support.ingest_service import Lab, outcome_of
from support.shop_client import eventually

FOUND = {"source_sha256": "cd" * 32, "etag": '"v1"', "last_modified": None}
TROUBLE = {"outcome": "FAILED", "code": "HTTP_5XX", "detail": "busy", "transient": True}
GONE = {"outcome": "FAILED", "code": "HTTP_4XX", "detail": "not there"}
DEFERRED = {"outcome": "DEFERRED", "code": "HOST_CLOSED", "detail": "closed", "transient": True, "bytes_in": None}
REUSED = FOUND | {"reused": True, "codec_ms": 0, "detail": "REUSED"}
GROWN = {"bytes_in": 1000, "bytes_out": 1300, "detail": "LARGER_THAN_SOURCE"}
KINDS: list[dict[str, Any]] = [REUSED, REUSED, FOUND, GROWN, TROUBLE, GONE, DEFERRED]


def in_progress(lab: Lab, *cells: str) -> list[dict[str, Any]]:
    """Return the payloads of all images of a new batch."""
    request_id = lab.submit(*cells)
    return lab.claim(request_id, lab.start(request_id))


def links(count: int) -> list[str]:
    return [f"https://a.example/{number}.jpg" for number in range(count)]


def told(payload: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return outcome_of(payload, **changes) | {"image_id": payload["image_id"]}


def state_of(lab: Lab, request_id: str) -> tuple[Any, ...]:
    """Return all that outcomes change, but moments and the pace of the host."""
    values = {"b": request_id}
    batch = lab.rows(
        "SELECT status, pending, succeeded, failed, bytes_in, bytes_out, larger_images, larger_bytes, reused, costed"
        " FROM batches WHERE request_id = :b",
        **values,
    )
    images = lab.rows(
        "SELECT row_number, status, code, detail, bytes_in, bytes_out, width, format, sha256, duration_ms, attempt,"
        " attempt_limit, lease_until IS NULL AS free, finished_at IS NULL AS open FROM images WHERE batch = :b"
        " ORDER BY row_number, slot",
        **values,
    )
    hosts = lab.rows(
        "SELECT host, succeeded, failures, bytes_in, bytes_out FROM batch_hosts WHERE batch = :b", **values
    )
    known = lab.rows("SELECT key, etag, last_modified, source_sha256, bytes_in, format FROM known_sources ORDER BY key")
    return batch, images, hosts, known


@pytest.mark.parametrize("seed", range(8))
def test_told_together_outcomes_change_what_they_would_change_alone(lab: Lab, seed: int) -> None:
    """Of every kind, in every mixture, with links that are repeated."""
    rng = random.Random(seed)
    cells = [rng.choice(links(10)) for _ in range(14)]
    kinds = [rng.choice(KINDS) for _ in range(14)]
    alone = in_progress(lab, *cells)
    for payload, kind in zip(alone, kinds, strict=False):
        lab.report(payload, **kind)
    expected = state_of(lab, alone[0]["request_id"])
    lab.change("DELETE FROM known_sources")
    lab.change("UPDATE hosts SET failures = 0, opened_at = NULL, blocked_until = now(), next_start_at = now()")
    together = in_progress(lab, *cells)

    lab.report_together(*[told(payload, **kind) for payload, kind in zip(together, kinds, strict=False)])

    assert state_of(lab, together[0]["request_id"]) == expected


def test_the_answer_names_the_images_that_changed(lab: Lab) -> None:
    """What was told before, and an attempt that is not the present one, changes nothing."""
    payloads = in_progress(lab, *links(3))
    lab.report(payloads[0])

    outcomes = [told(payload) for payload in payloads[:2]] + [told(payloads[2], **GONE)]
    answer = lab.report_together(*outcomes).json
    again = lab.report_together(*outcomes).json

    assert answer["applied"] == sorted(payload["image_id"] for payload in payloads[1:])
    assert again["applied"] == []


@pytest.mark.parametrize(
    "stranger", [{"image_id": str(uuid.uuid4())}, {"attempt": 9}], ids=["no such image", "attempt"]
)
def test_what_nobody_waits_for_does_not_keep_others_from_being_recorded(lab: Lab, stranger: dict[str, Any]) -> None:
    payloads = in_progress(lab, *links(2))

    answer = lab.report_together(told(payloads[0]) | stranger, told(payloads[1]))

    assert (answer.code, answer.json["applied"]) == (200, [payloads[1]["image_id"]])


def test_images_of_another_batch_are_not_touched(lab: Lab) -> None:
    [other] = in_progress(lab, *links(1))
    payloads = in_progress(lab, *links(1))

    answer = lab.report_together(told(payloads[0]), told(other) | {"request_id": payloads[0]["request_id"]})

    assert answer.json["applied"] == [payloads[0]["image_id"]]
    assert lab.status(other["request_id"])["counts"]["pending"] == 1


@pytest.mark.parametrize("last", [REUSED, GONE], ids=["success", "failure"])
def test_whoever_tells_of_the_last_images_wakes_the_execution(lab: Lab, last: dict[str, Any]) -> None:
    """Also when the last one is no success."""
    payloads = in_progress(lab, *links(3))

    lab.report_together(*[told(payload, **REUSED) for payload in payloads[:2]], told(payloads[2], **last))

    assert lab.batch_row(payloads[0]["request_id"])["status"] == "SEALING"
    assert lab.callbacks.sealed == [uuid.UUID(payloads[0]["request_id"])]


def test_two_images_that_a_retry_has_separated_are_one_known_source(lab: Lab) -> None:
    """They have the same URL and options; one statement writes what is known of them once."""
    payloads = in_progress(lab, *links(2))
    lab.change("UPDATE images SET input_url = 'https://a.example/0.jpg'")

    lab.report_together(*[told(payload, **FOUND) for payload in payloads])

    assert len(lab.rows("SELECT FROM known_sources")) == 1
    assert {row["status"] for row in lab.rows("SELECT status FROM images")} == {"SUCCEEDED"}


@pytest.mark.fault("A4")
def test_two_reports_of_the_same_images_at_once_count_once(lab: Lab) -> None:
    """In another order, so that they would wait for each other if they locked as they are told."""
    payloads = in_progress(lab, *links(20))
    outcomes = [told(payload, **REUSED) for payload in payloads]

    with ThreadPoolExecutor(4) as pool:
        orders = [outcomes, outcomes[::-1], outcomes[10:] + outcomes[:10], outcomes[::-1]]
        answers = list(pool.map(lambda order: lab.report_together(*order), orders))

    assert [answer.code for answer in answers] == [200] * 4
    assert sorted(image for answer in answers for image in answer.json["applied"]) == sorted(
        payload["image_id"] for payload in payloads
    )
    batch = lab.batch_row(payloads[0]["request_id"])
    assert (batch["pending"], batch["succeeded"], batch["reused"]) == (0, 20, 20)


def test_images_are_locked_in_the_order_of_their_ids_whatever_the_order_of_the_report(lab: Lab) -> None:
    """So no two reports wait for each other: while the first image is held, the last one is still free."""
    payloads = sorted(in_progress(lab, *links(5)), key=lambda payload: str(payload["image_id"]))
    first, last = payloads[0]["image_id"], payloads[-1]["image_id"]
    held = "SELECT FROM images WHERE id = CAST(:id AS uuid) FOR UPDATE NOWAIT"
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    with ThreadPoolExecutor(1) as pool:
        with lab.engine.connect() as holder:
            holder.execute(text(held), {"id": first})
            report = pool.submit(lab.report_together, *[told(payload) for payload in payloads[::-1]])
            eventually(lambda: lab.rows(waiting) or None, within_s=10, what="the report waits")
            lab.rows(held, id=last)
        answer = report.result()

    assert len(answer.json["applied"]) == 5


def test_a_host_learns_from_outcomes_told_together_as_from_so_many(lab: Lab) -> None:
    """Their mean counts for all of them: four answers are as much as it takes to judge a rate of five a second."""
    payloads = in_progress(lab, *links(4))
    lab.change("UPDATE hosts SET rate = 5, judged_from = now() - interval '1 hour', ceiling = NULL, sampled = 0")

    lab.report_together(
        *[told(payload, first_byte_ms=ms) for payload, ms in zip(payloads, (50, 100, 200, 400), strict=True)]
    )

    [host] = lab.rows("SELECT rate, exp(floor_log_s)\\:\\:float AS floor_s FROM hosts")
    assert (host["rate"], host["floor_s"]) == (10, pytest.approx(0.1414, abs=0.001))


def test_the_mean_cost_of_images_told_together_is_that_of_all(lab: Lab) -> None:
    payloads = in_progress(lab, *links(4))

    lab.report_together(*[told(payload, codec_ms=ms) for payload, ms in zip(payloads, (0, 100, 200, 300), strict=True)])

    batch = lab.batch_row(payloads[0]["request_id"])
    assert (batch["costed"], batch["image_cost_s"]) == (4, pytest.approx(0.15))


def test_a_refusal_among_outcomes_is_told_to_the_compressor(lab: Lab) -> None:
    """So that it asks that host for nothing until then."""
    payloads = in_progress(lab, *links(2))
    lab.change("UPDATE hosts SET trouble = 1, judged_from = now() - interval '1 hour'")
    refused = {"outcome": "FAILED", "code": "RATE_LIMITED", "transient": True, "retry_after_s": 30.0}

    answer = lab.report_together(told(payloads[0]), told(payloads[1], **refused))

    assert answer.json["host_closed_s"] == pytest.approx(30, abs=1)


def test_no_outcomes_or_too_many_are_400(lab: Lab) -> None:
    body = {"request_id": str(uuid.uuid4()), "outcomes": []}

    answer = lab.client().post("/internal/outcomes", json=body, headers={"Authorization": lab.token("compressor")})

    assert (answer.status_code, answer.get_json()["error"]["details"][0]["reason"]) == (400, "FIELD_INVALID")


def test_only_the_compressor_tells_outcomes(lab: Lab) -> None:
    body = {"request_id": str(uuid.uuid4()), "outcomes": []}

    answer = lab.client().post("/internal/outcomes", json=body, headers={"Authorization": lab.token("workflow")})

    assert answer.status_code == 403
