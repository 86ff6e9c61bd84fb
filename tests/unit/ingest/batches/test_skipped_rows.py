"""Bad rows that are skipped: the good ones run, the bad ones keep their place and say why."""

from __future__ import annotations

import json

import pytest

from support.ingest_service import Lab
from support.payload_schemas import assert_matches

A = "https://a.example/1.jpg"
SHEET = f"Product Name,Input Image Urls\nLamp,{A}\nChair,ftp://x/y\nDesk,{A}?2,red\nn\x00l,{A}\n\n{A}\n"


def skipped(lab: Lab, sheet: str = SHEET) -> str:
    """Upload a sheet whose bad rows are to be skipped."""
    answer = lab.upload(sheet, on_invalid="skip")
    assert answer.code == 202, answer.text
    return str(answer.json["request_id"])


@pytest.mark.feature("7")
def test_only_the_images_of_good_rows_are_handed_out(lab: Lab) -> None:
    """The bad rows have none."""
    request_id = skipped(lab)
    assert [payload["url"] for payload in lab.claim(request_id, lab.start(request_id))] == [A]


def test_the_answer_lists_what_was_skipped(lab: Lab) -> None:
    """As the refusal would have."""
    told = lab.upload(SHEET, on_invalid="skip").json
    found = [(problem["row"], problem["code"]) for problem in told["problems"]]
    assert found == [(3, "URL_INVALID"), (4, "LONG_ROW"), (5, "NUL_CHARACTER"), (7, "SHORT_ROW")]
    assert (told["invalid_rows"], told["total_rows"], told["total_images"]) == (4, 6, 1)


def test_a_batch_with_skipped_rows_ends_with_errors(lab: Lab) -> None:
    """Although no image failed; the sentence for subscribers says so."""
    request_id = skipped(lab)
    lab.finish_all(request_id)
    status = lab.status(request_id)
    payload = lab.rows("SELECT payload FROM outbox WHERE kind = 'notify'")[0]["payload"]
    assert (status["status"], status["invalid_rows"]) == ("COMPLETED_WITH_ERRORS", 4)
    assert payload["message"] == "Compression done with errors: 0 of 1 images failed; 4 bad rows were skipped"


def test_a_skipped_row_is_failed_and_says_why(lab: Lab) -> None:
    """On the status page, with what stood in it."""
    products = lab.status(skipped(lab))["products"]
    assert [product["status"] for product in products] == [
        "PENDING",
        "FAILED",
        "FAILED",
        "FAILED",
        "COMPLETED",
        "FAILED",
    ]
    [problem] = products[1]["problems"]
    assert (problem["column"], problem["code"], problem["value"]) == ("Input Image Urls", "URL_INVALID", "ftp://x/y")


@pytest.mark.feature("7")
def test_the_export_tells_the_problems_of_skipped_rows_only(lab: Lab) -> None:
    """Every row keeps its place and as many cells as the header has."""
    request_id = skipped(lab)
    answer = lab.internal("reporter", "GET", f"/internal/batches/{request_id}/export")
    rows = [json.loads(line) for line in answer.text.splitlines()[1:-1]]
    for row in rows:
        assert_matches("export_row", row)
    codes = [[problem["code"] for problem in row.get("problems", [])] for row in rows]
    assert codes == [[], ["URL_INVALID"], ["LONG_ROW"], ["NUL_CHARACTER"], [], ["SHORT_ROW"]]
    assert [row["cells"] for row in rows[2:4]] == [["Desk", f"{A}?2,red"], ["n\ufffdl", A]]
    assert "problems" not in rows[0]


@pytest.mark.fault("F8")
def test_a_sheet_that_cannot_be_read_to_its_end_is_refused_all_the_same(lab: Lab) -> None:
    """Behind an open quote nobody knows which rows there are."""
    answer = lab.upload(f'Product Name,Input Image Urls\nLamp,{A}\nChair,"x\n', on_invalid="skip")
    assert (answer.code, answer.reason) == (400, "SHEET_INVALID")


@pytest.mark.fault("A22")
def test_a_sheet_of_bad_rows_only_makes_a_batch_without_images(lab: Lab) -> None:
    """It is sealed at birth and reported like any other."""
    request_id = skipped(lab, "Product Name,Input Image Urls\nLamp,nonsense\n")
    execution = lab.start(request_id)
    assert lab.finish(request_id, execution).json["status"] == "COMPLETED_WITH_ERRORS"


def test_a_row_keeps_at_most_twenty_problems(lab: Lab) -> None:
    """A cell may hold a hundred bad URLs."""
    cell = " ".join(f"ftp://x/{number}" for number in range(30))
    [product] = lab.status(skipped(lab, f"Product Name,Input Image Urls\nLamp,{cell}\n"))["products"]
    assert len(product["problems"]) == 20


SLOTS = f'Product Name,Image 1,Image 2\nLamp,"{A}, lamp.jpg",{A}?2\nDesk,{A}?3,\n'


def test_one_bad_link_costs_its_slot(lab: Lab) -> None:
    """The other links of its row run; the slot has failed before anybody asked for it, and counts."""
    request_id = skipped(lab, SLOTS)
    before = lab.status(request_id)
    claimed = [payload["url"] for payload in lab.claim(request_id, lab.start(request_id))]
    assert claimed == [A, f"{A}?2", f"{A}?3"]
    assert before["counts"] == {"total": 4, "pending": 3, "succeeded": 0, "failed": 1}
    images = [image for product in before["products"] for image in product["images"]]
    assert [(image["slot"], image["column"], image["code"]) for image in images] == [
        (0, 1, None),
        (1, 1, "URL_INVALID"),
        (2, 2, None),
        (0, 1, None),
    ]
    assert images[1]["input_url"] == "lamp.jpg"


def test_a_bad_link_is_not_tried_again(lab: Lab) -> None:
    """It would fail as before, and no host could be asked for it."""
    request_id = skipped(lab, SLOTS)
    lab.finish_all(request_id)
    assert lab.status(request_id)["status"] == "COMPLETED_WITH_ERRORS"
    lab.post("/retry", {"request_id": request_id})
    counts = lab.status(request_id)["counts"]
    assert (counts["pending"], counts["failed"]) == (0, 1)


def test_a_check_tells_bad_links_apart_from_bad_rows(lab: Lab) -> None:
    """Both are problems; without `on_invalid=skip` either refuses the sheet."""
    told = lab.upload(SLOTS, on_invalid="skip", validate_only="true").json
    assert (told["valid"], told["invalid_rows"], told["invalid_images"], told["total_images"]) == (False, 0, 1, 4)
    assert lab.upload(SLOTS).code == 400
