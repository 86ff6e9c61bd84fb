"""What time and cancellations end: which images, as what, and what the caller is told.

Rows are counted with the header: the first product is in row 2.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import Connection

from chassis.db.engine import transact
from ingest.state.batch import BatchStatus
from ingest.state.batch_status import Ended, count_ended
from ingest.state.expiry import end_overdue, end_unreachable
from ingest.state.locks import lock_batch
from support.ingest_service import Lab, MakeLab

A, B, C = (f"https://a.example/{n}.jpg" for n in range(3))


def claimed(lab: Lab, *cells: str, max_rows: int = 100) -> UUID:
    """Return a batch of which some rows are under way."""
    request_id = lab.submit(*cells)
    lab.claim(request_id, lab.start(request_id), max_rows=max_rows)
    return UUID(request_id)


def end(lab: Lab, request_id: UUID) -> Ended:
    """End what is overdue of a batch."""
    return transact(lab.engine, lambda connection: end_overdue(connection, lock_batch(connection, request_id)))


def end_of_shut_host(lab: Lab, request_id: UUID) -> Ended:
    """End what has waited too long for its host."""

    def work(connection: Connection) -> Ended:
        return end_unreachable(connection, lab.settings, lock_batch(connection, request_id))

    return transact(lab.engine, work)


def found(ended: Ended) -> tuple[int, bool, bool]:
    """Return how many ended, whether that sealed the batch, and whether there is more to end."""
    return ended.images, ended.sealed, ended.more


def images(lab: Lab) -> list[tuple[str, str | None]]:
    """Return status and code of all images in the order of the sheet."""
    return [
        (row["status"], row["code"]) for row in lab.rows("SELECT status, code FROM images ORDER BY row_number, slot")
    ]


def test_nothing_of_a_batch_ends_before_its_time(lab: Lab) -> None:
    """Neither what waits nor what is under way."""
    request_id = claimed(lab, A, B, max_rows=1)

    ended = end(lab, request_id)

    assert found(ended) == (0, False, False)
    assert ended.batch.pending == 2
    assert images(lab) == [("DISPATCHED", None), ("PENDING", None)]


@pytest.mark.parametrize(
    ("of_batch", "status", "code", "detail"),
    [
        ("cancel_requested = true", "CANCELLED", "CANCELLED", "The batch was cancelled."),
        ("deadline_at = now()", "FAILED", "DEADLINE", "The batch's deadline passed."),
        ("cancel_requested = true, deadline_at = now()", "CANCELLED", "CANCELLED", "The batch was cancelled."),
        (
            """error = '{"step": "sheet", "error": "x"}', cancel_requested = true""",
            "FAILED",
            "BATCH_FAILED",
            "The sheet could not be read to its end.",
        ),
    ],
    ids=["cancelled", "late", "cancelled-and-late", "broken-sheet"],
)
def test_every_open_image_ends_with_its_batch_and_says_why(
    lab: Lab, of_batch: str, status: str, code: str, detail: str
) -> None:
    """Those under way, those that wait and those that repeat a link; the last one seals."""
    request_id = claimed(lab, A, f"{B} {B}", max_rows=1)
    lab.change("UPDATE batches SET " + of_batch.replace(":", "\\:"))

    ended = end(lab, request_id)

    assert found(ended) == (3, True, False)
    assert (ended.batch.status, ended.batch.failed) == (BatchStatus.SEALING, 3)
    rows = lab.rows("SELECT DISTINCT status, code, detail, lease_until, finished_at IS NULL AS open FROM images")
    assert rows == [{"status": status, "code": code, "detail": detail, "lease_until": None, "open": False}]


def test_the_error_of_a_dead_execution_ends_no_image(lab: Lab) -> None:
    """The batch goes on with the next execution."""
    request_id = claimed(lab, A)
    lab.change("""UPDATE batches SET error = '{"step"\\: "claim", "error"\\: "x"}'""")

    assert found(end(lab, request_id)) == (0, False, False)
    assert images(lab) == [("DISPATCHED", None)]


def test_what_has_ended_stays_as_it_is_when_the_batch_is_cancelled(lab: Lab) -> None:
    """Only what is open is cancelled."""
    request_id = lab.submit(A, B)
    [payload, _] = lab.claim(request_id, lab.start(request_id))
    lab.report(payload)
    lab.change("UPDATE batches SET cancel_requested = true")

    assert found(end(lab, UUID(request_id))) == (1, True, False)
    assert images(lab) == [("SUCCEEDED", "OK"), ("CANCELLED", "CANCELLED")]


def test_who_ends_no_image_seals_nothing(lab: Lab) -> None:
    """The batch has been sealed by somebody else."""
    request_id = claimed(lab, A)
    lab.change("UPDATE batches SET status = 'SEALING', pending = 0, failed = 1, sealed_at = now()")

    ended = transact(lab.engine, lambda connection: count_ended(connection, request_id))

    assert found(ended) == (0, False, False)


def test_a_large_batch_ends_page_after_page(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call ends the images of so many rows and says whether there are more; the last page seals."""
    monkeypatch.setattr("ingest.state.expiry.MAX_ENDED_ROWS", 2)
    request_id = claimed(lab, *[f"{A}?{n}" for n in range(5)])
    lab.change("UPDATE batches SET cancel_requested = true")

    pages = [found(end(lab, request_id)) for _ in range(4)]

    assert pages == [(1, False, True), (2, False, True), (2, True, False), (0, False, False)]


def test_a_sheet_that_is_exactly_one_page_long_has_no_more(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.state.expiry.MAX_ENDED_ROWS", 3)
    request_id = claimed(lab, A, B)
    lab.change("UPDATE batches SET cancel_requested = true")

    assert found(end(lab, request_id)) == (2, True, False)


def test_after_the_last_page_the_first_is_looked_at_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody held is ended in the next round; nobody waits for it."""
    monkeypatch.setattr("ingest.state.expiry.MAX_ENDED_ROWS", 2)
    request_id = claimed(lab, A, B, C)
    lab.change("UPDATE batches SET cancel_requested = true")
    with lab.engine.connect() as holder:
        holder.exec_driver_sql("SELECT 1 FROM images WHERE row_number = 2 FOR UPDATE")
        round_while_held = [found(end(lab, request_id)) for _ in range(2)]

    assert round_while_held == [(0, False, True), (2, False, False)]
    assert lab.batch_row(str(request_id))["ended_row"] == 0
    assert found(end(lab, request_id)) == (1, True, False)


def test_pages_after_the_last_open_image_are_not_asked_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose open images are on its first page is done with that page."""
    monkeypatch.setattr("ingest.state.expiry.MAX_ENDED_ROWS", 3)
    request_id = lab.submit(*[f"{A}?{n}" for n in range(5)])
    for payload in lab.claim(request_id, lab.start(request_id))[2:]:
        lab.report(payload)
    lab.change("UPDATE batches SET cancel_requested = true")

    assert found(end(lab, UUID(request_id))) == (2, True, False)


def test_an_image_whose_lease_ran_out_waits_again_unless_it_was_the_last_attempt(lab: Lab) -> None:
    """With the images that repeat a lost one; others keep their lease."""
    request_id = claimed(lab, f"{A} {A}", B, C)
    lab.change("UPDATE images SET lease_until = now() WHERE row_number < 4 AND status = 'DISPATCHED'")
    lab.change("UPDATE images SET attempt_limit = attempt WHERE row_number = 2 AND attempt > 0")

    ended = end(lab, request_id)

    assert found(ended) == (2, False, False)
    assert images(lab) == [("FAILED", "WORKER_LOST")] * 2 + [("PENDING", None), ("DISPATCHED", None)]
    assert (ended.batch.pending, ended.batch.failed) == (2, 2)


@pytest.mark.parametrize(
    "of_batch",
    ["pending = 0, failed = 1, status = 'SEALING', sealed_at = now()", "status = 'IMPORTING'"],
    ids=["nothing-open", "importing"],
)
def test_a_batch_without_work_is_left_alone(lab: Lab, of_batch: str) -> None:
    """Nothing is looked for: neither what is late nor what waits for a host that is shut."""
    request_id = claimed(lab, A)
    shut(lab, waited_s=10_000)
    lab.change(f"UPDATE batches SET {of_batch}")

    for ended in (end(lab, request_id), end_of_shut_host(lab, request_id)):
        assert found(ended) == (0, False, False)
    assert images(lab) == [("PENDING", None)]


@pytest.mark.parametrize(
    ("of_batch", "images_stored", "expected", "status"),
    [
        ("cancel_requested = true", 0, (0, True, False), "SEALING"),
        ("deadline_at = now()", 0, (0, True, False), "SEALING"),
        ("cancel_requested = true", 2, (2, True, False), "SEALING"),
        ("deadline_at = now()", 2, (2, True, False), "SEALING"),
        ("cancel_requested = false", 2, (0, False, False), "IMPORTING"),
    ],
    ids=["cancelled-empty", "late-empty", "cancelled", "late", "in-time"],
)
def test_an_import_that_is_cancelled_or_late_stops_and_what_is_stored_of_it_ends(
    lab: Lab, of_batch: str, images_stored: int, expected: tuple[int, bool, bool], status: str
) -> None:
    """A batch of which nothing is stored is sealed at once."""
    request_id = UUID(lab.submit(A, B))
    lab.change(
        "INSERT INTO imports (batch, csv_uri, object_generation, asked, rows_stored, images_stored)"
        " VALUES (:b, 'gs://b/o', 1, '{}', :n, :n)",
        b=request_id,
        n=images_stored,
    )
    if not images_stored:
        lab.change("DELETE FROM images")
    lab.change(f"UPDATE batches SET status = 'IMPORTING', total = 9, pending = 9, {of_batch}")

    ended = end(lab, request_id)

    assert found(ended) == expected
    assert (ended.batch.status.value, lab.batch_row(str(request_id))["status"]) == (status, status)


def shut(lab: Lab, *, waited_s: float, shut_s: float = 10_000) -> None:
    """Shut every host since `shut_s`, and let every first image wait since `waited_s`."""
    lab.change("UPDATE hosts SET opened_at = now() - make_interval(secs => :s)", s=shut_s)
    lab.change(
        "UPDATE images SET status = 'PENDING', lease_until = NULL, next_at = now() - make_interval(secs => :s)"
        " WHERE same_as IS NULL",
        s=waited_s,
    )


def test_images_end_that_have_waited_long_enough_for_a_shut_host(make_lab: MakeLab) -> None:
    """With those that repeat them; each once; the last one seals."""
    lab = make_lab(INGEST_HOST_PATIENCE_S="600")
    request_id = claimed(lab, f"{A} {A}", B)
    shut(lab, waited_s=601)

    ended = end_of_shut_host(lab, request_id)

    assert found(ended) == (3, True, False)
    assert images(lab) == [("FAILED", "HOST_UNREACHABLE")] * 3


@pytest.mark.parametrize(("waited_s", "shut_s"), [(599, 10_000), (10_000, 599)], ids=["image", "host"])
def test_patience_is_that_of_the_image_and_of_the_host(make_lab: MakeLab, waited_s: float, shut_s: float) -> None:
    """An image that came late waits as long as others did; a host that was shut just now has its time."""
    lab = make_lab(INGEST_HOST_PATIENCE_S="600")
    request_id = claimed(lab, A)
    shut(lab, waited_s=waited_s, shut_s=shut_s)

    assert found(end_of_shut_host(lab, request_id)) == (0, False, False)
    assert images(lab) == [("PENDING", None)]


def test_one_claim_ends_so_many_unreachable_images_and_the_next_goes_on(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.state.expiry.MAX_UNREACHABLE_IMAGES", 2)
    lab = make_lab(INGEST_HOST_PATIENCE_S="600")
    request_id = claimed(lab, A, B, C)
    shut(lab, waited_s=601)

    ended = [found(end_of_shut_host(lab, request_id)) for _ in range(2)]

    assert ended == [(2, False, False), (1, True, False)]
