"""Batches past their retention are forgotten whole, and nothing else is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from ingest.state.retention import Deleted, delete_page
from support.ingest_service import Lab, MakeLab

A = "https://a.example/1.jpg"
OLD = "UPDATE batches SET finished_at = now() - interval '30 days' WHERE request_id = :id"
TABLES = ("batches", "rows", "images", "outbox")


def ended(lab: Lab, *cells: str) -> str:
    """Return the id of a batch that ended and whose end was announced."""
    request_id: str = lab.submit(*cells)
    lab.finish_all(request_id)
    lab.change("DELETE FROM outbox WHERE batch = :id", id=request_id)
    return request_id


def left(lab: Lab) -> dict[str, int]:
    """Return how many rows each table has."""
    return {table: lab.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in TABLES}


@pytest.mark.feature("55")
@pytest.mark.fault("J8")
@pytest.mark.threat("T19")
def test_a_batch_past_its_retention_is_forgotten(lab: Lab) -> None:
    """Rows, images and all; whoever asks for it hears that there is no such batch."""
    request_id = ended(lab, f"{A},{A}?2", f"{A}?3")
    lab.change(OLD, id=request_id)

    assert lab.sweep()["batches_expired"] == 1

    assert left(lab) == dict.fromkeys(TABLES, 0)
    assert lab.get(f"/status/{request_id}").reason == "BATCH_NOT_FOUND"
    assert lab.sweep()["batches_expired"] == 0


def test_younger_and_open_batches_are_kept(lab: Lab) -> None:
    """The day counts from the end: a batch that ended a minute later, and one that never ended, stay."""
    young = ended(lab, A)
    lab.change(OLD.replace("'30 days'", "'30 days' + interval '1 minute'"), id=young)
    open_ = lab.submit(A)
    lab.change("UPDATE batches SET created_at = now() - interval '99 days' WHERE request_id = :id", id=open_)
    before = left(lab)

    assert lab.sweep()["batches_expired"] == 0
    assert left(lab)["images"] == before["images"] == 2


def test_a_batch_whose_end_was_not_announced_is_kept(lab: Lab) -> None:
    """Its subscriber has not been told; after the announcement it goes."""
    request_id = lab.submit(A)
    lab.finish_all(request_id)
    lab.change(OLD, id=request_id)
    lab.change("UPDATE outbox SET next_at = now() + interval '1 hour'")

    waiting = lab.sweep()["batches_expired"]
    lab.change("UPDATE outbox SET next_at = now()")
    told = lab.sweep()

    assert (waiting, told["notified"], told["batches_expired"]) == (0, 1, 1)


def test_retention_can_be_switched_off(make_lab: MakeLab) -> None:
    """0 keeps batches for ever."""
    lab = make_lab(INGEST_RETENTION_DAYS="0")
    lab.change(OLD, id=ended(lab, A))

    assert lab.sweep()["batches_expired"] == 0
    assert left(lab)["batches"] == 1


def test_a_sweep_forgets_a_bounded_number(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oldest first; the next sweep goes on."""
    monkeypatch.setattr("ingest.supervision.sweep._MAX_DELETED", 2)
    ids = [ended(lab, A) for _ in range(3)]
    for age, request_id in zip((50, 40, 60), ids, strict=True):
        lab.change(OLD.replace("'30 days'", f"'{age} days'"), id=request_id)

    first = lab.sweep()["batches_expired"]

    assert first == 2
    assert [str(row["request_id"]) for row in lab.rows("SELECT request_id FROM batches")] == [ids[1]]
    assert lab.sweep()["batches_expired"] == 1


def test_a_batch_in_somebody_elses_hands_is_passed_over(lab: Lab) -> None:
    """A retry holds the batch while it reopens it: retention neither waits for it nor takes it away."""
    held, free = ended(lab, A), ended(lab, A)
    lab.change(OLD.replace("'30 days'", "'31 days'"), id=held)
    lab.change(OLD, id=free)
    with lab.engine.begin() as retry:
        retry.execute(text("SELECT 1 FROM batches WHERE request_id = :id FOR UPDATE"), {"id": held})
        with lab.engine.begin() as sweep:
            deleted = delete_page(sweep, days=30)
        retry.execute(text("UPDATE batches SET finished_at = now() WHERE request_id = :id"), {"id": held})

    assert deleted is not None
    assert (str(deleted.request_id), deleted.whole) == (free, True)
    assert lab.sweep()["batches_expired"] == 0
    assert left(lab)["images"] == 1


@pytest.mark.fault("J8")
def test_two_sweeps_at_once_forget_each_batch_once(lab: Lab) -> None:
    """They take different ones and get into nobody's way."""
    for request_id in [ended(lab, A) for _ in range(6)]:
        lab.change(OLD, id=request_id)

    with ThreadPoolExecutor(2) as pool:
        swept = list(pool.map(lambda _: lab.sweep(), range(2)))

    assert sum(found["batches_expired"] for found in swept) == 6
    assert left(lab) == dict.fromkeys(TABLES, 0)


@pytest.mark.threat("T19")
def test_hosts_are_forgotten_with_the_last_batch_that_names_them(lab: Lab) -> None:
    """The names of customers' servers are not kept for longer than their sheets."""
    request_id = ended(lab, "https://a.example/1.jpg https://b.example/1.jpg")
    lab.submit("https://b.example/2.jpg")
    lab.change(OLD, id=request_id)

    assert lab.sweep()["batches_expired"] == 1

    assert lab.rows("SELECT host FROM hosts") == [{"host": "b.example"}]


def test_a_host_forgotten_too_early_is_put_back(lab: Lab) -> None:
    """An upload that was not committed yet could not be seen; its first claim makes up for it."""
    request_id = lab.submit("https://a.example/1.jpg https://b.example/1.jpg")
    lab.change("DELETE FROM hosts WHERE host = 'b.example'")

    assert len(lab.claim(request_id, lab.start(request_id))) == 2


def test_a_large_batch_is_deleted_in_pages_and_seen_by_nobody(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first page it is gone from every answer; what is left of it, and its hosts, go page by page."""
    monkeypatch.setattr("ingest.state.retention.MAX_DELETED_ROWS", 2)
    request_id = ended(lab, *(f"https://h{number}.example/1.jpg" for number in range(5)))
    lab.change(OLD, id=request_id)
    pages: list[Deleted] = []
    while not pages or not pages[-1].whole:
        with lab.engine.begin() as connection:
            deleted = delete_page(connection, days=30)
        assert deleted is not None
        pages.append(deleted)
        assert lab.get(f"/status/{request_id}").reason == "BATCH_NOT_FOUND"
        assert lab.get("/requests").json["requests"] == []
        assert lab.post("/retry", {"request_id": request_id}).reason == "BATCH_NOT_FOUND"

    assert len(pages) == 5
    assert left(lab) == dict.fromkeys(TABLES, 0)
    assert lab.rows("SELECT 1 FROM hosts") == lab.rows("SELECT 1 FROM batch_hosts") == []
