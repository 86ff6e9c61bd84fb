"""The same batch through other doors: items in JSON, and sheets in Cloud Storage that a client names."""

from __future__ import annotations

from typing import Any

import pytest

from support.ingest_service import Lab, MakeLab
from support.json_answers import json_of

A, B = "https://a.example/1.jpg", "https://b.example/2.jpg"
SHEET = f'S. No.,Product Name,Input Image Urls,quality,image_metadata\n1,Lamp,"{A}, {B}",,\n2,Chair,{A},80,strip\n'
ITEMS = [
    {"id": "1", "name": "Lamp", "urls": [A, B]},
    {"id": 2, "name": "Chair", "urls": [A], "options": {"quality": 80, "metadata": "strip"}},
]
URI = "gs://sheets/in/products.csv"


def stored(lab: Lab, request_id: str) -> Any:
    """Return what a batch stores, ids and times apart."""
    batch = lab.batch_row(request_id)
    rows = lab.rows(
        "SELECT row_number, serial, product_name, cells FROM rows WHERE batch = :b ORDER BY 1", b=request_id
    )
    images = lab.rows(
        "SELECT row_number, slot, input_url, same_as IS NULL AS first, options FROM images"
        " WHERE batch = :b ORDER BY 1, 2",
        b=request_id,
    )
    kept = {name: batch[name] for name in ("header", "columns", "options", "total", "row_count", "webhook_url")}
    return kept, rows, images


@pytest.mark.feature("10")
def test_items_and_a_sheet_make_the_same_batch(lab: Lab) -> None:
    """Row for row, cell for cell, image for image."""
    by_sheet = lab.upload(SHEET, webhook_url="https://hook.example/").json["request_id"]
    by_items = lab.post("/upload", {"items": ITEMS, "webhook_url": "https://hook.example/"}).json["request_id"]
    assert stored(lab, by_items) == stored(lab, by_sheet)


def test_a_url_of_an_item_is_never_split(lab: Lab) -> None:
    """A list needs no separators, so a URL within a URL is no question."""
    nested = "https://a.example/?u=https://b,https://c"
    answer = lab.post("/upload", {"items": [{"name": "x", "urls": [nested]}]})
    assert (answer.json["total_images"], answer.json["warnings"]) == (1, [])


def test_problems_of_items_are_told_like_those_of_rows(lab: Lab) -> None:
    """The first item is row 2."""
    answer = lab.post("/upload", {"items": [{"urls": [A]}, {"urls": ["nonsense", "ftp://x/"]}]})
    problems = answer.json["error"]["details"][-1]["problems"]
    assert [(problem["row"], problem["value"]) for problem in problems] == [(3, "nonsense"), (3, "ftp://x/")]


def test_items_obey_idempotency_keys(lab: Lab) -> None:
    """As a sheet does."""
    client = lab.client()
    headers = {"Idempotency-Key": "k"}
    first = client.post("/upload", json={"items": ITEMS}, headers=headers)
    again = client.post("/upload", json={"items": ITEMS}, headers=headers)
    other = client.post("/upload", json={"items": ITEMS[:1]}, headers=headers)
    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
    assert other.status_code == 422


@pytest.mark.fault("B9")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": ITEMS, "csv_uri": URI},
        {"items": ITEMS, "columns": {"urls": "x"}},
        {"items": [{"name": "x"}]},
        {"items": [{"urls": A}]},
        {"items": [{"urls": [A], "colour": "red"}]},
        {"items": [{"urls": [A], "options": {"quality": 0}}]},
        {"items": [{"urls": [A], "name": "n\x00l"}]},
        {"items": [{"urls": [""]}]},
        {"items": ITEMS, "options": {"target_bytes": 5}},
        {"items": ITEMS, "on_invalid": "ignore"},
        {"csv_uri": "https://x/y"},
    ],
)
def test_bad_items_are_refused(lab: Lab, body: Any) -> None:
    """Nothing is ignored, nothing is stored."""
    assert lab.post("/upload", body).code == 400
    assert lab.rows("SELECT 1 FROM batches") == []


def test_more_items_than_the_limit_are_refused(lab: Lab) -> None:
    """One above it, naming the field."""
    answer = lab.post("/upload", {"items": [{"urls": []}] * (lab.get("/limits").json["max_items"] + 1)})
    violation = answer.json["error"]["details"][2]["fieldViolations"][0]
    assert (answer.code, violation["field"]) == (400, "items")


def test_a_json_body_over_the_limit_is_refused(lab: Lab) -> None:
    """Items are held in memory as a whole, so their limit is lower than a file's."""
    limit = lab.get("/limits").json["max_items_bytes"]
    response = lab.client().post("/upload", data=b" " * (limit + 1), content_type="application/json")
    assert response.status_code == 413


@pytest.mark.feature("9", "10")
@pytest.mark.parametrize("door", ["form", "json"])
def test_a_sheet_in_an_allowed_bucket_may_be_named(make_lab: MakeLab, door: str) -> None:
    """In a form without a file, or in JSON."""
    lab = make_lab(INGEST_SHEET_BUCKETS="other, sheets")
    lab.storage.objects[URI] = SHEET.encode()
    fields = {"csv_uri": URI, "on_invalid": "skip"}
    client = lab.client()
    answer = (
        client.post("/upload", json=fields)
        if door == "json"
        else client.post("/upload", data=fields, content_type="multipart/form-data")
    )
    assert answer.status_code == 202
    assert lab.batch_row(json_of(answer)["request_id"])["source_name"] == "products.csv"
    assert lab.get("/limits").json["sheet_buckets"] == ["other", "sheets"]


@pytest.mark.feature("10")
@pytest.mark.parametrize("door", ["form", "json"])
def test_a_sheet_may_be_pasted(lab: Lab, door: str) -> None:
    """As text beside the other fields, with the same result as a file."""
    fields = {"csv_text": SHEET, "validate_only": "true"}
    client = lab.client()
    answer = (
        client.post("/upload", json=fields)
        if door == "json"
        else client.post("/upload", data=fields, content_type="multipart/form-data")
    )
    assert answer.json == lab.upload(SHEET, validate_only="true").json


def test_a_sheet_in_any_other_bucket_is_not_read(lab: Lab) -> None:
    """Else whoever may upload could read all that ingest may read."""
    lab.storage.objects[URI] = SHEET.encode()
    answer = lab.post("/upload", {"csv_uri": URI})
    assert (answer.code, answer.reason, lab.storage.reads) == (403, "BUCKET_NOT_ALLOWED", 0)


@pytest.mark.parametrize("bucket", ["sheets-of-others", "sheet", "SHEETS", "sheets.evil.example", "x-sheets"])
def test_a_bucket_is_allowed_by_its_whole_name(make_lab: MakeLab, bucket: str) -> None:
    """Anybody may make a bucket whose name begins like ours."""
    lab = make_lab(INGEST_SHEET_BUCKETS="other,sheets")
    uri = f"gs://{bucket}/products.csv"
    lab.storage.objects[uri] = SHEET.encode()
    answer = lab.post("/upload", {"csv_uri": uri})
    assert (answer.code, answer.reason, lab.storage.reads) == (403, "BUCKET_NOT_ALLOWED", 0)


def test_a_key_covers_the_options_beside_a_stored_sheet(make_lab: MakeLab) -> None:
    """The same sheet with other options under the same key is a mistake."""
    lab = make_lab(INGEST_SHEET_BUCKETS="sheets")
    lab.storage.objects[URI] = SHEET.encode()
    client, headers = lab.client(), {"Idempotency-Key": "k"}
    codes = [
        client.post("/upload", json={"csv_uri": URI, "options": {"quality": quality}}, headers=headers).status_code
        for quality in (40, 40, 41)
    ]
    assert codes == [202, 202, 422]


def test_a_file_and_a_stored_sheet_are_one_too_many(make_lab: MakeLab) -> None:
    """Nobody has to guess which one was taken."""
    lab = make_lab(INGEST_SHEET_BUCKETS="sheets")
    assert (lab.upload(SHEET, csv_uri=URI).reason, lab.storage.reads) == ("FIELD_INVALID", 0)
    assert lab.upload(SHEET, csv_text=SHEET).reason == "FIELD_INVALID"
