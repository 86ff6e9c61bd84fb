"""Whose a batch is: set at every door, and what an owner has alone."""

from __future__ import annotations

import io
from typing import Any

import pytest

from chassis.auth.api_keys import new_key
from support.ingest_service import Answered, Lab, MakeLab, sheet_of
from support.json_answers import json_of

A = "https://a.example/1.jpg"
ALICE, BOB, ROOT = (
    new_key(owner="alice", scopes=["read", "write"]),
    new_key(owner="bob", scopes=["read", "write"]),
    new_key(owner="root", scopes=["admin"]),
)
KEYS = "\n".join(key.line for key in (ALICE, BOB, ROOT))
DOORS: dict[str, dict[str, Any]] = {
    "a file": {"data": {"file": (io.BytesIO(sheet_of(A).encode()), "sheet.csv")}},
    "pasted text": {"data": {"csv_text": sheet_of(A)}, "content_type": "multipart/form-data"},
    "JSON items": {"json": {"items": [{"urls": [A]}]}},
    "JSON text": {"json": {"csv_text": sheet_of(A)}},
    "a sheet in a bucket": {"json": {"csv_uri": "gs://sheets/a.csv"}},
}


@pytest.fixture
def lab(make_lab: MakeLab) -> Any:
    lab = make_lab(API_KEYS=KEYS, INGEST_SHEET_BUCKETS="sheets")
    lab.storage.objects["gs://sheets/a.csv"] = sheet_of(A).encode()
    return lab


def upload(lab: Lab, key: str, *, idempotency_key: str = "", **arguments: Any) -> Answered:
    """Upload with an API key."""
    headers = {"Authorization": f"Bearer {key}"} | ({"Idempotency-Key": idempotency_key} if idempotency_key else {})
    return Answered(lab.client().post("/upload", headers=headers, **arguments))


@pytest.mark.parametrize("door", DOORS)
def test_a_batch_belongs_to_the_owner_of_the_key(lab: Lab, door: str) -> None:
    """Whichever door it came in by; the answer's status shows it."""
    answer = upload(lab, ALICE.key, **DOORS[door])

    assert answer.code == 202, answer.text
    assert [row["owner"] for row in lab.rows("SELECT owner FROM batches")] == ["alice"]


def test_without_a_key_no_door_is_open(lab: Lab) -> None:
    """Also a check of a sheet stores nothing and still needs one."""
    refused = Answered(lab.client().post("/upload?validate_only=true", json={"items": [{"urls": [A]}]}))

    assert (refused.code, refused.reason) == (401, "API_KEY_MISSING")


def test_a_batch_of_an_admin_is_the_admins_own(lab: Lab) -> None:
    """It sees all, and its uploads are not everybody's."""
    upload(lab, ROOT.key, json={"items": [{"urls": [A]}]})

    assert [row["owner"] for row in lab.rows("SELECT owner FROM batches")] == ["root"]


def test_idempotency_keys_are_an_owners_own(lab: Lab) -> None:
    """The same key of two owners makes two batches; of one owner, one."""
    body = {"items": [{"urls": [A]}]}
    first = upload(lab, ALICE.key, idempotency_key="k", json=body)
    again = upload(lab, ALICE.key, idempotency_key="k", json=body)
    other = upload(lab, BOB.key, idempotency_key="k", json={"items": [{"urls": [A, A]}]})

    assert again.json["request_id"] == first.json["request_id"]
    assert other.code == 202
    assert other.json["request_id"] != first.json["request_id"]


def test_what_had_no_owner_is_an_admins_to_see_once_there_are_keys(lab: Lab, make_lab: MakeLab) -> None:
    """And what has one is nobody's without keys: turning them off shows nothing."""
    request_id = upload(lab, ALICE.key, json={"items": [{"urls": [A]}]}).json["request_id"]
    open_lab = make_lab()

    assert open_lab.get(f"/status/{request_id}").code == 404
    assert open_lab.get("/requests").json["requests"] == []
    unowned = open_lab.submit(A)
    for key, code in ((ALICE, 404), (ROOT, 200)):
        answer = lab.client().get(f"/status/{unowned}", headers={"X-API-Key": key.key})
        assert answer.status_code == code


def test_every_announcement_says_whose_batch_it_is(lab: Lab) -> None:
    """Those that the sweeper sends: the reporter tells nobody else."""
    request_id = upload(lab, ALICE.key, json={"items": [{"urls": [A]}]}).json["request_id"]
    lab.finish_all(request_id)
    lab.change("UPDATE outbox SET next_at = now()")
    lab.sweep()

    assert [told["status"] for told in lab.reporter.notified][-1] == "COMPLETED"
    assert {(told["request_id"], told["owner"]) for told in lab.reporter.notified} == {(request_id, "alice")}


def test_pages_of_a_list_hold_one_owners_batches(lab: Lab) -> None:
    """A token leads on in the caller's list, whosever it was."""
    for number in range(3):
        for key in (ALICE, BOB):
            upload(lab, key.key, json={"items": [{"name": f"{key.key[-4:]}{number}", "urls": [A]}]})
    headers = {"X-API-Key": ALICE.key}
    first = json_of(lab.client().get("/requests?page_size=2", headers=headers))
    token = first["next_page_token"]
    rest = json_of(lab.client().get(f"/requests?page_size=2&page_token={token}", headers=headers))
    foreign = json_of(lab.client().get(f"/requests?page_size=9&page_token={token}", headers={"X-API-Key": BOB.key}))

    assert [row["owner"] for row in first["requests"] + rest["requests"]] == ["alice"] * 3
    assert {row["owner"] for row in foreign["requests"]} <= {"bob"}
