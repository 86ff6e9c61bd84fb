"""The images of a large batch are ended a page of rows at a time, by whoever comes by, and all of them in the end."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from support.ingest_service import Lab

CELLS = [f"https://a.example/{row}.jpg" for row in range(9)]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page have two rows, and a cancellation end two pages more than its first."""
    monkeypatch.setattr("ingest.state.expiry.MAX_ENDED_ROWS", 2)
    monkeypatch.setattr("ingest.batches.cancel.MAX_CANCEL_PAGES", 2)


def open_images(lab: Lab) -> int:
    """Return how many images are open, by the images themselves."""
    return len(lab.rows("SELECT 1 FROM images WHERE status IN ('PENDING', 'DISPATCHED')"))


def test_a_cancellation_ends_some_pages_and_the_sweeper_the_rest(lab: Lab) -> None:
    """The batch is sealed with the last image, whoever ends it."""
    request_id = lab.submit(*CELLS)
    answer = lab.post("/cancel", {"request_id": request_id})
    # The header is the first row of the sheet, so the first page has one image.
    assert (answer.json["cancelled_images"], open_images(lab)) == (5, 4)
    assert lab.batch_row(request_id)["pending"] == 4

    lab.sweep()

    row = lab.batch_row(request_id)
    assert (row["status"], row["pending"], row["failed"], open_images(lab)) == ("SEALING", 0, 9, 0)


def test_claims_end_a_page_each(lab: Lab) -> None:
    """A workflow that goes on claiming comes to the end too; nothing is handed out meanwhile."""
    request_id = lab.submit(*CELLS)
    execution = lab.start(request_id)
    lab.change("UPDATE batches SET deadline_at = now()")
    left = []
    for _page in range(5):
        assert lab.claim(request_id, execution) == []
        left.append(open_images(lab))
    assert left == [8, 6, 4, 2, 0]
    assert lab.batch_row(request_id)["status"] == "SEALING"


def test_an_image_that_was_held_is_found_in_the_next_round(lab: Lab) -> None:
    """After the last row it begins with the first one again."""
    request_id = lab.submit(*CELLS)
    lab.change("UPDATE batches SET deadline_at = now()")
    with lab.engine.begin() as outcome:
        outcome.execute(text("SELECT 1 FROM images WHERE row_number = 3 FOR UPDATE"))
        lab.sweep()
        assert lab.batch_row(request_id)["pending"] == 1
    lab.sweep()
    assert lab.batch_row(request_id)["status"] == "SEALING"


def test_a_retry_begins_with_the_first_row(lab: Lab) -> None:
    """Where an earlier cancellation had come to is forgotten."""
    request_id = lab.submit(*CELLS)
    lab.post("/cancel", {"request_id": request_id})
    lab.sweep()
    assert lab.finish(request_id, lab.start(request_id)).json["status"] == "CANCELLED"
    lab.post("/retry", {"request_id": request_id})
    assert lab.batch_row(request_id)["ended_row"] == 0
    lab.change("UPDATE batches SET deadline_at = now()")
    lab.sweep()
    assert open_images(lab) == 0
