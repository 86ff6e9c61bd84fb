"""Before anything runs: what a check answers, what a corrected sheet looks like, and that neither leaves a trace."""

from __future__ import annotations

import csv
import io

import pytest
from jsonschema import Draft202012Validator

from support.ingest_service import Lab, MakeLab, sheet_of
from support.json_answers import json_of
from unit.ingest.sheets.dialect_corpus import SAVED, WRITTEN, Dialect

A, B = "https://a.example/1.jpg", "https://b.example/2.jpg"
HEADER = "S. No.,Product Name,Input Image Urls"
GOOD = f'{HEADER}\n1,Lamp,"{A}, {B}"\n2,Chair,{A}\n3,Desk,\n'
BAD = f"{HEADER}\n1,Lamp,{A}\n2,Chair,ftp://x/y\n3,Desk,{A},red\n4\n"
COUNTS = ("total_rows", "invalid_rows", "total_images", "invalid_images")
COUNTS = ("total_rows", "invalid_rows", "total_images", "invalid_images")
TABLES = ("batches", "rows", "images", "outbox", "idempotency_keys")


def traces(lab: Lab) -> int:
    """Return how many rows all tables hold together, plus the tasks that were made."""
    counted: list[int] = [lab.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in TABLES]
    return sum(counted) + int(lab.tasks.calls)


def corrected(lab: Lab, sheet: str | bytes, **form: str) -> list[list[str]]:
    """Return the cells of the corrected sheet."""
    content = sheet.encode() if isinstance(sheet, str) else sheet
    data = {**form, "file": (io.BytesIO(content), "x.csv")}
    response = lab.client().post("/corrected_sheet", data=data)
    assert response.status_code == 200, response.get_data(as_text=True)
    return list(csv.reader(io.StringIO(response.get_data().decode("utf-8-sig"), newline=""), strict=True))


@pytest.mark.feature("8")
def test_a_check_counts_what_an_upload_would_make(lab: Lab) -> None:
    """Rows, images, unique URLs, hosts, columns, dialect."""
    answer = lab.upload(GOOD, validate_only="true", quality="70")

    told = answer.json
    assert (answer.code, told["valid"], told["total_rows"], told["total_images"]) == (200, True, 3, 3)
    assert (told["unique_urls"], told["unique_images"], told["host_count"]) == (2, 2, 2)
    assert told["hosts"] == [{"host": "a.example", "images": 2}, {"host": "b.example", "images": 1}]
    assert told["columns"] == {"serial": ["S. No."], "name": ["Product Name"], "urls": ["Input Image Urls"]}
    assert told["options"]["quality"] == 70
    assert [(warning["row"], warning["code"]) for warning in told["warnings"]] == [(4, "NO_URLS")]


@pytest.mark.feature("57")
def test_without_experience_an_estimate_is_an_assumption(make_lab: MakeLab) -> None:
    """Two images that differ; the busiest host sets the time."""
    lab = make_lab(INGEST_HOST_MAX_RATE="0.5")
    told = lab.upload(GOOD, validate_only="true").json["estimate"]
    assumed = told.pop("assumes")
    assert told == {"bytes_in": 1_000_000, "bytes_out": 400_000, "seconds": 4, "learned": False}
    assert assumed == [
        "an image has 500,000 bytes and its output 200,000, as no batch of yours tells more",
        "a.example is asked for 0.5 images a second, the most it may be, as its pace is not learned yet",
        "nothing waits behind other batches",
    ]


@pytest.mark.feature("57")
def test_an_estimate_learns_from_what_the_batches_before_took(lab: Lab) -> None:
    """Bytes of a mean image, times the images that differ; a batch of somebody else teaches nothing."""
    lab.finish_all(lab.submit(A))
    other = lab.submit(B)
    lab.finish_all(other)
    lab.change("UPDATE batches SET owner = 'alice', bytes_in = 999999 WHERE request_id = :id", id=other)

    told = lab.upload(GOOD, validate_only="true").json["estimate"]

    assert told.pop("assumes")[0] == "an image has 1,000 bytes and its output 400, as in your last batches"
    assert told == {"bytes_in": 2000, "bytes_out": 800, "seconds": 1, "learned": True}


@pytest.mark.feature("57")
def test_an_upload_and_its_status_tell_the_same_estimate_as_the_check_before(make_lab: MakeLab) -> None:
    """At the pace that was learned of the host; and no image fails by a deadline that this estimate passes."""
    lab = make_lab(INGEST_BATCH_DEADLINE_S="60", INGEST_HOST_MAX_CONCURRENCY="1", INGEST_HOST_MAX_RATE="10000")
    lab.submit(A)
    lab.change("UPDATE hosts SET rate = 0.01, floor_log_s = ln(0.2) WHERE host = 'a.example'")

    checked = lab.upload(GOOD, validate_only="true").json["estimate"]
    uploaded = lab.upload(GOOD).json
    shown = lab.status(uploaded["request_id"])
    listed = lab.get("/requests").json["requests"][0]
    row = lab.batch_row(uploaded["request_id"])

    assert uploaded["estimate"] == shown["estimate"] == listed["estimate"] == checked
    assert "a.example is asked for 0.01 images a second, as learned" in checked["assumes"]
    assert checked["seconds"] >= 100
    assert (row["deadline_at"] - row["created_at"]).total_seconds() >= 3 * checked["seconds"] - 1


def test_a_sheet_without_images_takes_nothing(lab: Lab) -> None:
    """No host, no time."""
    told = lab.upload(f"{HEADER}\n1,Lamp,\n", validate_only="true").json["estimate"]
    assert told.pop("assumes")
    assert told == {"bytes_in": 0, "bytes_out": 0, "seconds": 0, "learned": False}


def test_a_check_has_the_documented_shape(lab: Lab) -> None:
    """The model is closed."""
    document = lab.get("/openapi.json").json
    schema = document["paths"]["/upload"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer = lab.upload(BAD, validate_only="true", on_invalid="skip").json
    Draft202012Validator(schema | {"components": document["components"]}).validate(answer)


@pytest.mark.feature("8")
@pytest.mark.parametrize("sheet", ["bad rows", "no links", "no table"])
def test_a_check_tells_the_problems_of_the_real_call(lab: Lab, sheet: str) -> None:
    """Word for word, with status 200: that a sheet is bad is what was asked."""
    content = {"bad rows": BAD, "no links": "Name,Price\nLamp,3\n", "no table": " "}[sheet]

    checked, real = lab.upload(content, validate_only="1"), lab.upload(content)

    [told] = [detail for detail in real.json["error"]["details"] if "SheetProblems" in detail["@type"]]
    assert (checked.code, real.code, checked.json["valid"]) == (200, 400, False)
    for name in ("problems", "problem_count", "problems_listed"):
        assert checked.json[name] == told[name]


def test_a_check_may_answer_a_bad_sheet_as_the_release_before_did(lab: Lab) -> None:
    """With the very error of the real call, request id apart."""
    checked, real = lab.upload(BAD, validate_only="1", invalid_is_error="1"), lab.upload(BAD)
    for answer in (checked, real):
        answer.json["error"]["details"] = [
            detail for detail in answer.json["error"]["details"] if "RequestInfo" not in detail["@type"]
        ]
    assert (checked.code, checked.json) == (real.code, real.json)


def test_a_check_counts_the_good_rows_of_a_bad_sheet(lab: Lab) -> None:
    """What an upload that skips the bad ones would make."""
    checked = lab.upload(BAD, validate_only="true").json
    skipping = lab.upload(BAD, validate_only="true", on_invalid="skip").json

    assert checked == skipping
    made = lab.upload(BAD, on_invalid="skip").json
    assert {name: checked[name] for name in COUNTS} == {name: made[name] for name in COUNTS}
    assert checked["invalid_rows"] > 0


def test_a_check_shows_the_first_rows_with_each_link_by_itself(lab: Lab) -> None:
    """Twenty of them; a link that cannot be used has its code, a long cell is cut."""
    cells = [f"{A}~{B}", f"{A} https://u:p@a.example/3.jpg", *[A] * 30]
    sheet = sheet_of(*cells).replace("Product 3,", "x" * 400 + ",")

    answer = lab.upload(sheet, validate_only="true")
    assert answer.code == 200, answer.text
    preview = answer.json["preview"]

    first, second, third = preview["rows"][:3]
    assert preview["titles"] == ["S. No.", "Product Name", "Input Image Urls"]
    assert [row["row"] for row in preview["rows"]] == list(range(2, 22))
    assert (first["serial_number"], first["product_name"], first["cells"][2]) == ("1", "Product 1", f"{A}~{B}")
    assert [(link["slot"], link["url"], link["column"], link["code"]) for link in first["links"]] == [
        (0, A, "Input Image Urls", None),
        (1, B, "Input Image Urls", None),
    ]
    assert [warning["code"] for warning in first["warnings"]] == ["LINKS_SPLIT"]
    assert [link["code"] for link in second["links"]] == [None, "URL_FORBIDDEN"]
    assert len(third["cells"][1]) == 301


def test_a_sheet_whose_columns_cannot_be_told_shows_its_cells(lab: Lab) -> None:
    """So that a person can say which column it is; what is not known is null."""
    told = lab.upload("Name;Price\nLamp;3\n", validate_only="true").json

    assert [problem["code"] for problem in told["problems"]] == ["MISSING_COLUMN"]
    assert told["preview"]["titles"] == ["Name", "Price"]
    assert [(row["row"], row["cells"], row["links"]) for row in told["preview"]["rows"]] == [(2, ["Lamp", "3"], [])]
    assert told["dialect"]["delimiter"] == ";"
    assert (told["total_rows"], told["estimate"], told["findings"]) == (None, None, None)


@pytest.mark.parametrize(("faults", "end"), [(1, "."), (2, " (and 1 more problem)"), (3, " (and 2 more problems)")])
def test_an_error_counts_the_other_problems_in_words(lab: Lab, faults: int, end: str) -> None:
    """One problem, two problems."""
    answer = lab.upload(sheet_of(*["https://u:p@a.example/1.jpg"] * faults))

    assert answer.json["error"]["message"].endswith(end)


@pytest.mark.feature("8")
@pytest.mark.parametrize("sheet", [GOOD, BAD])
def test_a_check_leaves_no_trace(lab: Lab, sheet: str) -> None:
    """No row, no task, and the Idempotency-Key stays free for the real call."""
    lab.upload(sheet, validate_only="true", headers={"Idempotency-Key": "k"})
    corrected(lab, sheet)
    assert traces(lab) == 0


def test_a_check_may_be_asked_for_in_the_query(lab: Lab) -> None:
    """Beside a form as beside JSON."""
    data = {"file": (io.BytesIO(GOOD.encode()), "x.csv")}
    form = lab.client().post("/upload?validate_only=true", data=data)
    items = lab.client().post("/upload?validate_only=true", json={"items": [{"urls": [A]}]})
    assert (form.status_code, items.status_code, traces(lab)) == (200, 200, 0)


@pytest.mark.parametrize("query", ["?dry_run=true", "?validate_only=perhaps", "?validate_only=1&validate_only=0"])
def test_a_bad_query_is_refused(lab: Lab, query: str) -> None:
    """A check that is misspelled must not become a batch."""
    response = lab.client().post(f"/upload{query}", data={"file": (io.BytesIO(GOOD.encode()), "x.csv")})
    assert (response.status_code, traces(lab)) == (400, 0)


def test_a_field_in_body_and_query_is_refused(lab: Lab) -> None:
    """Nobody has to guess which one counts."""
    data = {"file": (io.BytesIO(GOOD.encode()), "x.csv"), "validate_only": "false"}
    form = lab.client().post("/upload?validate_only=true", data=data)
    items = lab.client().post("/upload?on_invalid=skip", json={"items": [{"urls": [A]}], "on_invalid": "reject"})
    assert (form.status_code, items.status_code, traces(lab)) == (400, 400, 0)


def test_the_corrected_sheet_has_every_cell_and_what_is_wrong(lab: Lab) -> None:
    """The problems stand behind their rows, each with its code."""
    header, *rows = corrected(lab, BAD)

    assert header == ["S. No.", "Product Name", "Input Image Urls", "Problems"]
    assert rows[0] == ["1", "Lamp", A, ""]
    assert rows[1][:3] == ["2", "Chair", "ftp://x/y"]
    assert rows[1][3].startswith("URL_INVALID: Input Image Urls: ")
    assert rows[2][:3] == ["3", "Desk", f"{A},red"]
    assert [row[3].partition(":")[0] for row in rows] == ["", "URL_INVALID", "LONG_ROW", "SHORT_ROW"]


@pytest.mark.parametrize("case", [*SAVED, *WRITTEN], ids=lambda case: case.name)
def test_a_corrected_sheet_means_the_same_and_needs_no_correction(lab: Lab, case: Dialect) -> None:
    """Whatever it was saved as: UTF-8 with commas, each list of URLs in one cell, nothing left to repair."""
    client = lab.client()
    first = client.post("/corrected_sheet", data={"file": (io.BytesIO(case.body), "x.csv")}).get_data()

    checked = lab.upload(first, validate_only="true").json

    urls = sum(len(row[3]) for row in case.rows)
    assert (checked["total_rows"], checked["total_images"]) == (len(case.rows), urls)
    assert {warning["code"] for warning in checked["warnings"]} <= {"NO_URLS", "AMBIGUOUS_URLS", "OUTPUT_REPLACED"}


def test_correcting_twice_adds_one_column(lab: Lab) -> None:
    """The column of an earlier copy is filled anew."""
    once = "\r\n".join(",".join(cells) for cells in corrected(lab, f"{HEADER}\n1,Lamp,{A}\n"))
    assert corrected(lab, once) == [["S. No.", "Product Name", "Input Image Urls", "Problems"], ["1", "Lamp", A, ""]]


def test_a_sheet_without_our_columns_cannot_be_corrected(lab: Lab) -> None:
    """What concerns the whole sheet is answered as it is for an upload."""
    response = lab.client().post("/corrected_sheet", data={"file": (io.BytesIO(b"a,b\n1,2\n"), "x.csv")})
    assert response.status_code == 400
    assert json_of(response)["error"]["details"][0]["reason"] == "SHEET_INVALID"
