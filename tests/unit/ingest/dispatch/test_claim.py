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
from ingest.dispatch.claim import MAX_PAGE_BYTES, ClaimedPage, claim_page
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


@pytest.mark.parametrize("is_known", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize(("short_of_three", "images"), [(0, 3), (1, 2)])
def test_a_page_takes_as_much_json_as_its_limit_and_no_byte_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, is_known: bool, short_of_three: int, images: int
) -> None:
    """A request and a lease for each image, ten bytes for what is between them, and a kilobyte for what is around.

    What is known of a source is a part of its request.
    """
    cells = [f"{A}?{'x' * 100 * n}" for n in range(4)]
    if is_known:
        for payload in lab.claim(*started(lab, *cells)):
            lab.report(payload, source_sha256="cd" * 32, etag="e" * 200)
    request_id, execution = started(lab, *cells)
    whole = lab.next_claim(request_id, execution)
    lab.change("UPDATE images SET status = 'PENDING', attempt = 0, lease_until = NULL WHERE batch = :b", b=request_id)
    lab.change("UPDATE hosts SET next_start_at = now() - interval '1 hour'")
    sizes = [
        len(json.dumps(request)) + len(lease) + 10
        for group in whole["groups"]
        for request, lease in zip(group["requests"], group["leases"], strict=True)
    ]
    monkeypatch.setattr("ingest.dispatch.claim.MAX_PAGE_BYTES", 1024 + sum(sizes[:3]) - short_of_three)

    page = lab.next_claim(request_id, execution)

    assert (whole["image_count"], page["image_count"], page["next_claim_s"]) == (4, images, 0.0)


def test_an_image_that_is_larger_than_a_page_is_a_page(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would never be done otherwise."""
    monkeypatch.setattr("ingest.dispatch.claim.MAX_PAGE_BYTES", 100)
    request_id, execution = started(lab, A, B)

    assert [len(lab.claim(request_id, execution)) for _ in range(3)] == [1, 1, 0]


def claimed_page(lab: Lab, request_id: str, execution: str | None = None) -> ClaimedPage:
    """Claim and return what the claim says of itself."""
    return claim_page(lab.engine, lab.settings, UUID(request_id), execution=execution, max_rows=100)


@pytest.mark.parametrize(
    "over",
    [
        ("UPDATE batches SET deadline_at = now()",),
        (
            "UPDATE hosts SET opened_at = now() - interval '1 day'",
            "UPDATE images SET next_at = now() - interval '1 day'",
        ),
    ],
    ids=["late", "unreachable"],
)
def test_the_claim_that_ends_the_last_image_says_so_and_no_other(lab: Lab, over: tuple[str, ...]) -> None:
    """Whatever ended it; what was asked before and afterwards did not."""
    request_id, execution = started(lab, A)
    lab.change("UPDATE images SET next_at = now() + interval '1 hour'")
    before = claimed_page(lab, request_id, execution)
    for statement in over:
        lab.change(statement)

    pages = [claimed_page(lab, request_id, execution) for _ in range(2)]

    assert [page.sealed for page in (before, *pages)] == [False, True, False]
    assert [page.batch.status.value for page in pages] == ["SEALING", "SEALING"]


def test_nothing_of_a_large_late_batch_is_handed_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each claim ends a page, and the next one follows at once."""
    monkeypatch.setattr("ingest.state.expiry.MAX_ENDED_ROWS", 2)
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(4)])
    lab.change("UPDATE batches SET deadline_at = now()")

    pages = [claimed_page(lab, request_id, execution) for _ in range(3)]

    assert [(list(page.images), page.next_claim_s, page.sealed) for page in pages] == [
        ([], 0.0, False),
        ([], 0.0, False),
        ([], 60.0, True),
    ]


def test_a_window_of_one_is_used(make_lab: MakeLab) -> None:
    """One image after the other."""
    lab = make_lab(INGEST_MAX_IN_FLIGHT="1")
    request_id, execution = started(lab, A, B)

    first = lab.claim(request_id, execution)
    meanwhile = lab.claim(request_id, execution)
    lab.report(first[0])

    assert (len(first), meanwhile) == (1, [])
    assert len(lab.claim(request_id, execution)) == 1


def test_a_page_of_one_host_is_followed_at_once_while_others_wait_to_be_looked_at(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.dispatch.host_starts._MAX_LOCKED", 1)
    request_id, execution = started(lab, A, B.replace("a.example", "b.example"))

    pages = [claimed_page(lab, request_id, execution) for _ in range(2)]

    assert [(len(page.images), page.next_claim_s) for page in pages] == [(1, 0.0), (1, 60.0)]


def test_of_many_due_images_so_many_are_looked_at_as_may_fit_into_a_page(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next claim has the rest, at once."""
    monkeypatch.setattr("ingest.dispatch.claim._CANDIDATES", 3)
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(4)])

    pages = [claimed_page(lab, request_id, execution) for _ in range(2)]

    assert [(len(page.images), page.next_claim_s) for page in pages] == [(3, 0.0), (1, 60.0)]


def test_no_more_than_the_window_is_in_flight(make_lab: MakeLab) -> None:
    """Tasks wait in the database, not in the queue, where their leases would run out."""
    lab = make_lab(INGEST_MAX_IN_FLIGHT="4")
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(10)])
    first = lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json
    full = lab.next_claim(request_id, execution)
    payload = claimed_of(first)[0]["payload"]

    lab.report(payload)
    second = lab.claim(request_id, execution)

    assert [page["image_count"] for page in (first, full)] == [4, 0]
    assert len(second) == 1


@pytest.mark.parametrize(
    ("begun", "costed", "next_claim_s"),
    [("+ interval '1 min'", 2, 0.3), ("+ interval '1 min'", 3, 1.0), ("- interval '1 min'", 0, 1.0)],
    ids=["costs-unknown", "costs-known", "slow"],
)
def test_a_full_window_is_looked_at_often_until_its_first_images_have_told_what_they_cost(
    make_lab: MakeLab, begun: str, costed: int, next_claim_s: float
) -> None:
    """Then there is more to hand out; but of a batch that is slow not for long, since each look costs steps."""
    lab = make_lab(INGEST_MAX_IN_FLIGHT="4")
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(10)])
    lab.claim(request_id, execution)
    # In a minute: the test may take as long as it likes.
    lab.change(
        f"UPDATE batches SET started_at = now() {begun}, costed = :n, image_cost_s = 0.1 WHERE request_id = :b",
        n=costed,
        b=request_id,
    )

    assert lab.next_claim(request_id, execution)["next_claim_s"] == next_claim_s


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
        " FROM batches b, generate_series(1, 33) WHERE b.request_id = :b",
        b=batches[0][0],
    )
    lab.change("UPDATE batches SET status = 'PROCESSING', started_at = now()")
    request_id, execution = started(lab, *[f"{A}?{n}" for n in range(100, 200)])

    assert claim_all(lab, request_id, execution) == 1_000 // 37


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
