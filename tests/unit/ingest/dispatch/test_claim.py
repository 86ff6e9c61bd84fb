"""Handing out work: leases, pages, windows, budgets, owners."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis.google.span_recorder import SpanRecorder
from chassis.tracing import is_drawn, record_by
from ingest.dispatch.claim import MAX_PAGE_BYTES, claim_page
from support.ingest_service import Lab, MakeLab, claimed_of

A, B = "https://a.example/1.jpg", "https://a.example/2.jpg"


def started(lab: Lab, *cells: str) -> tuple[str, str]:
    """Return a batch and the execution that owns it."""
    request_id = lab.submit(*cells)
    return request_id, lab.start(request_id)


def test_a_claim_hands_out_the_payloads_of_images(lab: Lab) -> None:
    """In the order of the sheet, with the options of the batch."""
    request_id = lab.upload(f'Product Name,Input Image Urls\nx,"{A} {B}"\ny,{A}?2\n', quality="70").json["request_id"]
    execution = lab.start(request_id)

    page = lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json

    payloads = [image["payload"] for image in claimed_of(page)]
    assert [payload["url"] for payload in payloads] == [A, B, f"{A}?2"]
    assert payloads[2]["options"]["quality"] == 70
    assert (page["image_count"], page["open"], page["next_claim_s"]) == (3, 3, 60.0)


def test_what_is_leased_is_not_handed_out_again(lab: Lab) -> None:
    """Until its lease ends."""
    request_id, execution = started(lab, A)

    first, second = lab.claim(request_id, execution), lab.claim(request_id, execution)

    assert (len(first), second) == (1, [])


@pytest.mark.feature("14")
@pytest.mark.fault("A6")
def test_an_expired_lease_is_claimed_again_with_the_next_attempt(lab: Lab) -> None:
    """A worker that died silently costs time, not the image."""
    request_id, execution = started(lab, A)
    lab.claim(request_id, execution)
    lab.change("UPDATE images SET lease_until = now() - interval '1 second'")

    [again] = lab.claim(request_id, execution)

    assert again["attempt"] == 2


@pytest.mark.fault("A6")
def test_an_image_whose_workers_all_got_lost_fails(make_lab: MakeLab) -> None:
    """With its duplicates, and the batch is sealed by the claim that finds out."""
    lab = make_lab(INGEST_MAX_ATTEMPTS="1")
    request_id, execution = started(lab, f"{A} {A}")
    lab.claim(request_id, execution)
    lab.change("UPDATE images SET lease_until = now() WHERE status = 'DISPATCHED'")

    claimed = lab.claim(request_id, execution)

    found = lab.rows("SELECT status, code, detail FROM images")
    assert claimed == []
    assert found == [{"status": "FAILED", "code": "WORKER_LOST", "detail": "No attempt of 1 reported back."}] * 2
    assert lab.batch_row(request_id)["status"] == "SEALING"


@pytest.mark.feature("20")
def test_the_deadline_ends_every_open_image(lab: Lab) -> None:
    """Pending and dispatched ones alike."""
    request_id, execution = started(lab, A, B, f"{B}?3")
    lab.claim(request_id, execution, max_rows=1)
    lab.change("UPDATE batches SET deadline_at = now()")

    claimed = lab.claim(request_id, execution)

    assert claimed == []
    assert lab.rows("SELECT DISTINCT status, code FROM images") == [{"status": "FAILED", "code": "DEADLINE"}]
    assert lab.finish(request_id, execution).json["status"] == "FAILED"


def test_a_page_ends_at_the_rows_asked_for(lab: Lab) -> None:
    """The next page goes on behind it."""
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(5)])

    pages = [lab.batch_call(request_id, "claim", execution=execution, max_rows=2).json for _ in range(3)]

    assert [page["image_count"] for page in pages] == [2, 2, 1]
    assert [page["next_claim_s"] for page in pages] == [0.0, 0.0, 60.0]


def test_a_page_ends_at_its_limit_of_json(lab: Lab) -> None:
    """Long URLs, even of characters that JSON makes six times longer, never fill an execution's memory."""
    url = "https://a.example/" + "ü" * 2000
    request_id, execution = started(lab, *[f"{url}?{n}" for n in range(40)])

    headers = {"Authorization": lab.token("workflow")}
    sizes = []
    for _ in range(10):
        body = {"execution": execution, "max_rows": 100}
        response = lab.client().post(f"/internal/batches/{request_id}/claim", json=body, headers=headers)
        sizes.append((len(response.data), json.loads(response.data)["image_count"]))

    assert max(size for size, _ in sizes) <= MAX_PAGE_BYTES
    assert sum(count for _, count in sizes) == 40


def test_no_more_than_the_window_is_in_flight(make_lab: MakeLab) -> None:
    """Tasks wait in the database, not in the queue, where their leases would run out."""
    lab = make_lab(INGEST_MAX_IN_FLIGHT="4")
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(10)])
    first = lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json
    full = lab.next_claim(request_id, execution)
    payload = claimed_of(first)[0]["payload"]

    lab.report(payload)
    second = lab.claim(request_id, execution)

    assert (first["image_count"], first["next_claim_s"]) == (4, 1.0)
    assert (full["image_count"], full["next_claim_s"]) == (0, 1.0)
    assert len(second) == 1


def leased(lab: Lab, request_id: str) -> int:
    """Return how many images of a batch have a task."""
    [row] = lab.rows("SELECT count(*) AS n FROM images WHERE batch = :b AND status = 'DISPATCHED'", b=request_id)
    return int(row["n"])


def claim_all(lab: Lab, request_id: str, execution: str) -> int:
    """Claim until the window is full; return how many images of the batch have a task then."""
    while lab.claim(request_id, execution):
        pass
    return leased(lab, request_id)


@pytest.mark.fault("A8")
def test_the_window_follows_what_the_batch_gets_done(lab: Lab) -> None:
    """A hundred at first; then eight seconds of its work, so that no lease ends while its task waits in the queue."""
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(900)])
    first = claim_all(lab, request_id, execution)
    lab.change("UPDATE batches SET measured_ended = -120, measured_at = now() - interval '2 s'")

    faster = claim_all(lab, request_id, execution)
    [rate] = lab.rows("SELECT images_per_s FROM batches")

    # A window of which less than a quarter is free is not refilled.
    assert 75 < first <= 100
    assert 360 < faster <= 480
    assert rate["images_per_s"] == pytest.approx(60, rel=0.05)


@pytest.mark.fault("A8")
def test_many_batches_have_small_windows_at_first(lab: Lab) -> None:
    """What waits in the queue does not grow with their number."""
    batches = [started(lab, f"{A}?{n}") for n in range(3)]
    lab.change(
        "INSERT INTO batches SELECT (jsonb_populate_record(b, jsonb_build_object('request_id', gen_random_uuid()))).*"
        " FROM batches b, generate_series(1, 333) WHERE b.request_id = :b",
        b=batches[0][0],
    )
    lab.change("UPDATE batches SET status = 'PROCESSING', started_at = now()")
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(100, 200)])

    assert claim_all(lab, request_id, execution) == 10_000 // 337


def test_parallel_claims_hand_out_each_image_once(lab: Lab) -> None:
    """The sweeper and an execution may claim at the same moment."""
    request_id, _ = started(lab, *[f"{A}?{n}" for n in range(200)])
    lab.change("UPDATE batches SET images_per_s = 100")

    def claim(_: int) -> list[str]:
        page = claim_page(lab.engine, lab.settings, UUID(request_id), execution=None, max_rows=20)
        return [image.payload["image_id"] for image in page.images]

    with ThreadPoolExecutor(8) as pool:
        claimed = [image for images in pool.map(claim, range(12)) for image in images]

    assert (len(claimed), len(set(claimed))) == (200, 200)


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("claim", {"max_rows": 10}),
        ("finish", {"report_uri": "gs://b/o"}),
        ("fail", {"step": "x", "error": None}),
        ("release", {}),
    ],
)
def test_only_the_owner_may_act(lab: Lab, verb: str, body: dict[str, Any]) -> None:
    """409 ABORTED NOT_OWNER for any other execution."""
    request_id, _ = started(lab, A)

    rival = lab.new_execution()
    answer = lab.batch_call(request_id, verb, execution=rival, **body)

    assert (answer.code, answer.json["error"]["status"], answer.reason) == (409, "ABORTED", "NOT_OWNER")
    assert answer.json["error"]["details"][0]["metadata"] == {"request_id": request_id, "execution": rival}


def test_claims_are_signs_of_life(lab: Lab) -> None:
    """The sweeper leaves such a batch alone."""
    request_id, execution = started(lab, A)
    lab.change("UPDATE batches SET heartbeat_at = now() - interval '1 hour'")
    lab.claim(request_id, execution)
    assert lab.rows("SELECT heartbeat_at > now() - interval '1 minute' AS fresh FROM batches") == [{"fresh": True}]


@pytest.fixture(name="recorder", params=[1.0])
def _recorder(request: pytest.FixtureRequest) -> Iterator[SpanRecorder]:
    recorder = SpanRecorder(InMemorySpanExporter(), service="s", project="p", revision="", ratio=request.param)
    record_by(recorder)
    yield recorder
    record_by(None)
    recorder.stop()


def traced(lab: Lab, request_id: str, execution: str) -> dict[UUID, bool]:
    """Return which of the claimed images are recorded in the batch's trace."""
    page = lab.next_claim(request_id, execution)
    headers = [
        request["task"]["httpRequest"]["headers"]["traceparent"]
        for group in page["groups"]
        for request in group["requests"]
    ]
    ids = [UUID(image["payload"]["image_id"]) for image in claimed_of(page)]
    assert {header.split("-")[1] for header in headers} == {request_id.replace("-", "")}
    return {each: header.endswith("-01") for each, header in zip(ids, headers, strict=True)}


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize("total", [40, 100, 200])
def test_a_hundred_images_of_a_recorded_batch_are_recorded_with_it(lab: Lab, total: int) -> None:
    """All of a small batch, about as many of a large one, and always the same ones."""
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(40)])
    lab.change("UPDATE batches SET total = :total, succeeded = :total - 40", total=total)

    found = traced(lab, request_id, execution)

    assert found == {image: is_drawn(image, 100 / total) for image in found}
    assert any(found.values())
    assert all(found.values()) == (total <= 100)


@pytest.mark.parametrize("recorder", [0.0], indirect=True)
def test_no_image_of_a_batch_that_is_not_recorded_is_recorded(lab: Lab, recorder: SpanRecorder) -> None:
    assert recorder.ratio == 0.0
    assert not any(traced(lab, *started(lab, A)).values())
