"""An address to upload a large sheet to, and whose sheet lies there."""

from __future__ import annotations

import pytest

from chassis.auth.api_keys import new_key
from support.ingest_service import Answered, Lab, MakeLab, sheet_of

SHEET = sheet_of("https://a.example/1.jpg").encode()


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """Give a service with a bucket for uploads."""
    return make_lab(INGEST_UPLOADS_BUCKET="uploads", INGEST_MAX_STORED_SHEET_BYTES="5000")


def test_an_uploaded_sheet_becomes_a_batch(lab: Lab) -> None:
    """The address names the object that is named to the upload afterwards."""
    address = lab.post("/uploads", {"name": "my sheet.csv", "size_bytes": len(SHEET)})
    assert (address.code, address.json["max_bytes"]) == (201, 5000)
    uri = address.json["csv_uri"]
    assert uri.startswith("gs://uploads/")
    assert uri.endswith("/my_sheet.csv")
    assert uri in address.json["upload_url"]

    before = lab.post("/upload", {"csv_uri": uri})
    lab.storage.objects[uri] = SHEET
    after = lab.post("/upload", {"csv_uri": uri})

    assert (before.code, before.reason) == (404, "SHEET_NOT_FOUND")
    assert (after.code, after.json["total_images"]) == (202, 1)


def test_no_two_addresses_name_one_object(lab: Lab) -> None:
    """A later upload replaces nobody's sheet."""
    first, second = (lab.post("/uploads", {}).json["csv_uri"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ({"size_bytes": 5001}, 413, "SHEET_TOO_LARGE"),
        ({"size_bytes": 0}, 400, "FIELD_INVALID"),
        ({"name": ""}, 400, "FIELD_INVALID"),
        ({"bucket": "x"}, 400, "FIELD_INVALID"),
    ],
)
def test_what_cannot_be_uploaded_is_refused_before(lab: Lab, body: dict[str, object], code: int, reason: str) -> None:
    """The limit is named."""
    answer = lab.post("/uploads", body)
    assert (answer.code, answer.reason) == (code, reason)


def test_without_a_bucket_there_is_no_address(make_lab: MakeLab) -> None:
    """And the refusal says what to do instead."""
    assert make_lab(INGEST_UPLOADS_BUCKET="").post("/uploads", {}).reason == "UPLOADS_NOT_CONFIGURED"


def test_storage_that_is_away_gives_no_address(lab: Lab) -> None:
    """503, to be asked again."""
    lab.storage.down = True
    assert lab.post("/uploads", {}).reason == "STORAGE_UNAVAILABLE"


@pytest.mark.threat("T10")
def test_nobody_reads_the_upload_of_another_owner(make_lab: MakeLab) -> None:
    """For others it is not there, whatever they make of its name."""
    keys = {owner: new_key(owner=owner, scopes=["read", "write"]) for owner in ("anna", "bert")}
    lines = "\n".join(key.line for key in keys.values())
    lab = make_lab(INGEST_UPLOADS_BUCKET="uploads", API_KEYS=lines)

    def post(owner: str, path: str, body: dict[str, str]) -> Answered:
        return Answered(lab.client().post(path, json=body, headers={"X-API-Key": keys[owner].key}))

    uri = post("anna", "/uploads", {}).json["csv_uri"]
    lab.storage.objects[uri] = SHEET
    folder = post("bert", "/uploads", {}).json["csv_uri"].split("/")[3]
    around = uri.replace("gs://uploads/", f"gs://uploads/{folder}/../")

    assert post("bert", "/upload", {"csv_uri": uri}).reason == "SHEET_NOT_FOUND"
    assert post("bert", "/upload", {"csv_uri": around}).reason == "SHEET_NOT_FOUND"
    assert post("anna", "/upload", {"csv_uri": uri}).code == 202
