"""The same sheet again: without a key another batch, with another owner's key that owner's own."""

from __future__ import annotations

import io

import pytest

from chassis.auth.api_keys import new_key
from support.ingest_service import Answered, Lab, MakeLab, sheet_of

A, B = "https://a.example/1.jpg", "https://a.example/2.jpg"
ALICE, BOB = (new_key(owner=owner, scopes=["read", "write"]) for owner in ("alice", "bob"))


@pytest.mark.fault("F15")
def test_the_same_sheet_without_a_key_is_another_batch(lab: Lab) -> None:
    """Who sends a sheet twice may mean it; nothing is guessed from equal bytes."""
    first, second = (lab.upload(sheet_of(A)) for _ in range(2))

    assert (first.code, second.code) == (202, 202)
    assert first.json["request_id"] != second.json["request_id"]
    assert len(lab.rows("SELECT 1 FROM images")) == 2


@pytest.mark.fault("F17")
@pytest.mark.threat("T10")
def test_a_key_means_something_to_its_owner_only(make_lab: MakeLab) -> None:
    """Another owner's `k` is another key: no mismatch, and nobody is given the other one's answer."""
    lab = make_lab(API_KEYS=f"{ALICE.line}\n{BOB.line}")

    def upload(key: str, cell: str) -> Answered:
        data = {"file": (io.BytesIO(sheet_of(cell).encode()), "sheet.csv")}
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k"}
        return Answered(lab.client().post("/upload", data=data, headers=headers))

    alices, bobs, again = upload(ALICE.key, A), upload(BOB.key, B), upload(BOB.key, B)

    assert (alices.code, bobs.code) == (202, 202)
    assert alices.json["request_id"] != bobs.json["request_id"] == again.json["request_id"]
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_key_without_an_owner_is_no_owners_key(lab: Lab) -> None:
    """It is kept under a name that no API key can have."""
    lab.upload(sheet_of(A), headers={"Idempotency-Key": "k"})

    assert lab.rows("SELECT owner, key FROM idempotency_keys") == [{"owner": "", "key": "k"}]
