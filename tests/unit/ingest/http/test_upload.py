"""The door: what an upload answers, stores, repeats and refuses."""

from __future__ import annotations

import io
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ingest.batches.sheet_errors import limits_from
from ingest.batches.submit import Submission, submit_upload
from ingest.options import ImageOptions
from ingest.sheets.intake import read_sheet
from support.ingest_service import Lab, MakeLab
from support.json_answers import json_of

SHEET = 'S. No.,Product Name,Input Image Urls\n1,Lamp,"https://a.example/1.jpg, https://a.example/2.jpg"\n2,Chair,\n'


def stored(lab: Lab) -> int:
    """Return how many rows all tables hold together."""
    query = (
        "SELECT (SELECT count(*) FROM batches) + (SELECT count(*) FROM rows) + (SELECT count(*) FROM images)"
        " + (SELECT count(*) FROM outbox) + (SELECT count(*) FROM idempotency_keys) AS n"
    )
    return int(lab.rows(query)[0]["n"])


@pytest.mark.feature("1")
def test_an_upload_answers_the_seeds_shape_and_more(lab: Lab) -> None:
    """202 with id and status, and what was found in the sheet."""
    answer = lab.upload(SHEET)

    request_id = answer.json["request_id"]
    assert answer.code == 202
    assert answer.headers["Location"] == f"/status/{request_id}"
    assert answer.json["estimate"]["seconds"] == 1
    assert answer.json | {"links": None, "estimate": None} == {
        "request_id": request_id,
        "status": "PENDING",
        "total_images": 2,
        "invalid_images": 0,
        "total_rows": 2,
        "invalid_rows": 0,
        "dialect": {"encoding": "utf-8", "bom": False, "delimiter": ",", "layout": "csv"},
        "columns": {"serial": ["S. No."], "name": ["Product Name"], "urls": ["Input Image Urls"]},
        "findings": {
            "platform": None,
            "header_row": 1,
            "chosen": [
                {"role": "serial", "column": 1, "title": "S. No.", "reason": "its title is one of a serial"},
                {"role": "name", "column": 2, "title": "Product Name", "reason": "its title is one of a name"},
                {"role": "urls", "column": 3, "title": "Input Image Urls", "reason": "its title is ours"},
            ],
            "other_pictures": [],
        },
        "may_be_larger": None,
        "estimate": None,
        "problems": [],
        "problem_count": 0,
        "problems_listed": 0,
        "warnings": [
            {
                "row": 3,
                "column": "Input Image Urls",
                "code": "NO_URLS",
                "message": "The row has no image URL.",
                "value": None,
            }
        ],
        "warning_count": 1,
        "links": None,
    }


def test_an_upload_puts_a_start_task_on_the_queue_at_once(lab: Lab) -> None:
    """The hint is sent after the commit and gone from the outbox; the news waits for the next of our own callers."""
    request_id = lab.upload(SHEET).json["request_id"]

    assert lab.tasks.bodies("/process") == [{"request_id": request_id}]
    assert [row["kind"] for row in lab.rows("SELECT kind FROM outbox")] == ["accepted"]


@pytest.mark.feature("13")
def test_an_upload_is_accepted_while_cloud_tasks_is_down(lab: Lab) -> None:
    """The answer is true all the same: the outbox keeps the hint."""
    lab.tasks.down = True

    answer = lab.upload(SHEET)

    assert answer.code == 202
    assert {row["kind"] for row in lab.rows("SELECT kind FROM outbox")} == {"start", "accepted"}


@pytest.mark.parametrize("field", ["file", "csv", "csvFile", "csv_file", "input_data"])
def test_the_sheet_is_found_under_every_field_name_in_use(lab: Lab, field: str) -> None:
    """Clients written for other services need no change."""
    assert lab.upload(SHEET, field=field).code == 202


@pytest.mark.parametrize("field", ["webhook_url", "webhookUrl", "webHookUrl", "callbackUrl"])
def test_the_webhook_is_found_under_every_field_name_in_use(lab: Lab, field: str) -> None:
    """Its form is checked, its address only when it is called."""
    form: dict[str, Any] = {field: "http://127.0.0.1:9/hook"}
    request_id = lab.upload(SHEET, **form).json["request_id"]

    assert lab.batch_row(request_id)["webhook_url"] == "http://127.0.0.1:9/hook"


def test_options_are_stored_with_defaults_filled_in(lab: Lab) -> None:
    """Quality 50 and JPEG are what the first release did; an empty form field is not given."""
    plain = lab.upload(SHEET, quality="").json["request_id"]
    asked = lab.upload(SHEET, quality="80", format="webp", max_width="640").json["request_id"]

    defaults = {
        "quality": 50,
        "format": "jpeg",
        "max_width": None,
        "max_height": None,
        "target_bytes": None,
        "metadata": "copyright",
        "background": "#ffffff",
        "animated": "first",
    }
    assert lab.batch_row(plain)["options"] == defaults
    assert lab.batch_row(asked)["options"] == defaults | {"quality": 80, "format": "webp", "max_width": 640}


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"quality": "96"}, "quality"),
        ({"quality": "high"}, "quality"),
        ({"format": "bmp"}, "format"),
        ({"max_width": "0"}, "max_width"),
        ({"webhook_url": "ftp://x/"}, "webhook_url"),
        ({"webhook_url": "http://user:pw@x/"}, "webhook_url"),
        ({"webhook_url": "http://x/" + "y" * 2083}, "webhook_url"),
        ({"min_ssim": "0.97"}, "min_ssim"),
    ],
)
def test_a_bad_form_field_is_named(lab: Lab, form: dict[str, Any], field: str) -> None:
    """Also one that is unknown: ignoring it would be silent."""
    answer = lab.upload(SHEET, **form)

    violations = answer.json["error"]["details"][2]["fieldViolations"]
    assert (answer.code, answer.reason, violations[0]["field"]) == (400, "FIELD_INVALID", field)
    assert stored(lab) == 0


@pytest.mark.feature("6")
def test_a_bad_sheet_is_answered_with_all_its_problems_and_nothing_is_stored(lab: Lab) -> None:
    """The detail lists row, column, code, message and value."""
    answer = lab.upload("Product Name,Input Image Urls\nx,ftp://a/\ny,b\n")

    detail = answer.json["error"]["details"][-1]
    assert (answer.code, answer.reason, detail["problem_count"]) == (400, "SHEET_INVALID", 2)
    assert detail["problems"][0] == {
        "row": 2,
        "column": "Input Image Urls",
        "code": "URL_INVALID",
        "message": "The URL does not begin with http:// or https://.",
        "value": "ftp://a/",
    }
    assert stored(lab) == 0


@pytest.mark.fault("F19")
def test_an_upload_without_a_sheet_says_where_it_is_expected(lab: Lab) -> None:
    """The fields that were found are named."""
    response = lab.client().post("/upload", data={"quality": "50", "photo": (io.BytesIO(b"x"), "x.csv")})

    assert response.status_code == 400
    assert json_of(response)["error"]["details"][0]["reason"] == "FILE_MISSING"
    assert "photo" in json_of(response)["error"]["message"]


@pytest.mark.fault("F19")
def test_two_sheets_are_one_too_many(lab: Lab) -> None:
    """Nobody has to guess which one was taken."""
    data = {"file": (io.BytesIO(SHEET.encode()), "a.csv"), "csv": (io.BytesIO(SHEET.encode()), "b.csv")}

    response = lab.client().post("/upload", data=data)

    assert (response.status_code, stored(lab)) == (400, 0)


def test_another_content_type_is_refused(lab: Lab) -> None:
    """415, in the one error form."""
    response = lab.client().post("/upload", data=SHEET, content_type="text/csv")

    assert response.status_code == 415
    assert json_of(response)["error"]["details"][0]["reason"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.fault("F1")
@pytest.mark.threat("T6")
def test_a_body_over_the_limit_is_refused_before_it_is_read(make_lab: MakeLab) -> None:
    """413 with the limit, and nothing is stored."""
    lab = make_lab(INGEST_MAX_SHEET_BYTES="1000")

    response = lab.client().post("/upload", data=b"x" * 2_000_000, content_type="multipart/form-data; boundary=b")

    error = json_of(response)["error"]
    assert (response.status_code, error["details"][0]["reason"], stored(lab)) == (413, "BODY_TOO_LARGE", 0)


@pytest.mark.feature("11")
@pytest.mark.fault("F16")
def test_a_repeat_with_the_same_key_gets_the_first_answer(lab: Lab) -> None:
    """One batch, and a header that says that the answer is an old one."""
    first = lab.upload(SHEET, headers={"Idempotency-Key": "k1"})
    second = lab.upload(SHEET, headers={"Idempotency-Key": "k1"})

    assert (second.code, second.json) == (202, first.json)
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(lab.rows("SELECT 1 FROM batches")) == 1
    assert len(lab.tasks.tasks) == 1


@pytest.mark.feature("11")
@pytest.mark.fault("F17")
def test_a_key_used_for_something_else_is_refused(lab: Lab) -> None:
    """Another sheet or another option under the same key is a mistake of the client."""
    lab.upload(SHEET, headers={"Idempotency-Key": "k1"})

    other_sheet = lab.upload(SHEET + "3,Desk,\n", headers={"Idempotency-Key": "k1"})
    other_option = lab.upload(SHEET, headers={"Idempotency-Key": "k1"}, quality="80")

    assert (other_sheet.code, other_sheet.reason) == (422, "IDEMPOTENCY_MISMATCH")
    assert (other_option.code, other_option.reason) == (422, "IDEMPOTENCY_MISMATCH")


@pytest.mark.feature("11")
def test_an_expired_key_is_forgotten(lab: Lab) -> None:
    """After a day the same key makes a new batch."""
    first = lab.upload(SHEET, headers={"Idempotency-Key": "k1"})
    lab.change("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")

    second = lab.upload(SHEET, headers={"Idempotency-Key": "k1"})

    assert second.json["request_id"] != first.json["request_id"]


@pytest.mark.fault("F17")
@pytest.mark.parametrize("key", ["", "x" * 256, "with blank"])
def test_a_malformed_key_is_refused(lab: Lab, key: str) -> None:
    """1 to 255 printable characters."""
    answer = lab.upload(SHEET, headers={"Idempotency-Key": key})
    assert (answer.code, answer.reason) == (400, "IDEMPOTENCY_KEY_INVALID")


@pytest.mark.feature("11")
@pytest.mark.fault("B8", "F16")
def test_twenty_parallel_uploads_with_one_key_make_one_batch(lab: Lab) -> None:
    """All get the same id; exactly one is the first."""
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: lab.upload(SHEET, headers={"Idempotency-Key": "k"}), range(20)))

    assert {answer.code for answer in answers} == {202}
    assert len({answer.json["request_id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len(lab.rows("SELECT 1 FROM batches")) == 1


@pytest.mark.fault("B11")
@pytest.mark.threat("T8")
def test_sql_metacharacters_are_stored_verbatim(lab: Lab) -> None:
    """In every text of a sheet, its name and its URLs."""
    nasty = "'; DROP TABLE images; -- %s %(x)s \\x27 \\N \\. \t tab {} :batch"
    sheet = f'"Product Name","Input Image Urls","{nasty}"\n"{nasty}","https://a.example/%s?q=\';--","{nasty}"\n'

    request_id = lab.upload(sheet).json["request_id"]

    row = lab.rows("SELECT * FROM rows")[0]
    assert (row["product_name"], row["cells"][2]) == (nasty, nasty)
    assert lab.rows("SELECT input_url FROM images") == [{"input_url": "https://a.example/%s?q=';--"}]
    assert lab.batch_row(request_id)["header"][2] == nasty


@pytest.mark.fault("C8", "F19")
@pytest.mark.threat("T8")
def test_a_file_name_is_reduced_to_its_harmless_part(lab: Lab) -> None:
    """Folders and control characters are no part of it."""
    data = {"file": (io.BytesIO(SHEET.encode()), "..\\..\\x/../my\tsheet.csv")}

    request_id = json_of(lab.client().post("/upload", data=data))["request_id"]

    assert lab.batch_row(request_id)["source_name"] == "mysheet.csv"


@pytest.mark.fault("A22")
def test_a_batch_without_images_is_sealed_at_birth(lab: Lab) -> None:
    """No outcome will ever come for it, so the upload itself seals it; it is still reported and finished."""
    request_id = lab.upload("Product Name,Input Image Urls\nx,\n").json["request_id"]

    row = lab.batch_row(request_id)
    execution = lab.start(request_id)
    finished = lab.finish(request_id, execution)
    assert (row["status"], row["sealed_at"] is not None) == ("SEALING", True)
    assert finished.json["status"] == "COMPLETED"
    assert lab.status(request_id)["progress_percent"] == 100.0


@pytest.mark.fault("F13")
def test_equal_urls_are_downloaded_once(lab: Lab) -> None:
    """The later ones refer to the first."""
    lab.submit("https://a.example/1, https://a.example/2", "https://a.example/1")

    found = lab.rows("SELECT id, same_as, row_number, slot FROM images ORDER BY row_number, slot")
    assert [row["same_as"] for row in found] == [None, None, found[0]["id"]]


def test_a_transaction_that_is_run_twice_stores_one_batch(lab: Lab) -> None:
    """When only the answer of the commit was lost, the repeat finds its own work."""
    sheet = read_sheet(SHEET.encode(), limits_from(lab.settings))
    submission = Submission(sheet, SHEET.encode(), "x.csv", ImageOptions(), None)
    request_id = uuid.uuid4()
    for _ in range(2):
        submit_upload(lab.engine, lab.settings, submission, request_id=request_id, response={}, key=None)

    assert stored(lab) == 1 + 2 + 2 + 2


@pytest.mark.fault("B9", "F20")
@pytest.mark.parametrize("path", ["/cancel", "/upload"])
@pytest.mark.parametrize(
    "body", ["[" * 100_000, "nonsense", '"text"', '{"request_id": 5}', '{"request_id": "\\ud800"}', "{}"]
)
def test_bad_json_is_refused(lab: Lab, path: str, body: str) -> None:
    """Deep, wrong or unstorable JSON is a 400, never a crash."""
    response = lab.client().post(path, data=body, content_type="application/json")
    assert response.status_code == 400, json.dumps(response.json)


@pytest.mark.fault("F20")
def test_a_key_twice_in_json_is_refused(lab: Lab) -> None:
    """Nobody has to guess which value counts, at any depth."""
    for body in ('{"items": [], "items": [{"urls": []}]}', '{"items": [{"urls": [], "name": "a", "name": "b"}]}'):
        answer = lab.client().post("/upload", data=body, content_type="application/json")
        error = answer.get_json()["error"]
        assert (answer.status_code, error["details"][0]["reason"]) == (400, "JSON_INVALID")
        assert "twice" in error["message"]


@pytest.mark.fault("F20")
def test_a_large_json_body_is_refused(lab: Lab) -> None:
    """JSON routes take 256 KiB."""
    response = lab.client().post("/cancel", data=b" " * 300_000, content_type="application/json")
    assert response.status_code == 413
