"""Keys of repeated uploads: taken once, answered again, free after their day."""

from __future__ import annotations

import pytest

from chassis.db.engine import transact
from ingest.state.idempotency import EarlierUpload, IdempotencyKey, forget_expired_keys, take_key
from support.ingest_service import Lab

KEY = IdempotencyKey("k", "fingerprint")


def taken(lab: Lab, key: IdempotencyKey = KEY, owner: str | None = "alice", answer: str = "first") -> object:
    """Take a key for a hundred seconds."""
    return transact(lab.engine, lambda connection: take_key(connection, key, owner, {"id": answer}, ttl_s=100.0))


def test_the_second_upload_with_a_key_learns_of_the_first(lab: Lab) -> None:
    """Whatever it brings itself."""
    assert taken(lab) is None
    assert taken(lab, IdempotencyKey("k", "other"), answer="second") == EarlierUpload("fingerprint", {"id": "first"})


@pytest.mark.parametrize(("key", "owner"), [("k", "bob"), ("k", None), ("other", "alice")])
def test_another_key_and_another_owner_are_not_the_same(lab: Lab, key: str, owner: str | None) -> None:
    taken(lab)

    assert taken(lab, IdempotencyKey(key, "fingerprint"), owner) is None


def test_nobodys_key_is_that_of_the_owner_without_a_name(lab: Lab) -> None:
    """In every release: a repeat may come to another one than the first upload."""
    taken(lab, owner=None)

    assert lab.rows("SELECT owner, key FROM idempotency_keys") == [{"owner": "", "key": "k"}]


def test_a_key_lasts_as_long_as_it_was_taken_for(lab: Lab) -> None:
    """Then it is as good as new, and other keys are not forgotten with it."""
    for owner in ("alice", "bob"):
        taken(lab, owner=owner)
    [row] = lab.rows("SELECT DISTINCT extract(epoch FROM max(expires_at) - now())::float AS s FROM idempotency_keys")
    lab.change("UPDATE idempotency_keys SET expires_at = now()")

    assert 90 < row["s"] <= 100
    assert taken(lab, answer="second") is None
    assert taken(lab, answer="third") == EarlierUpload("fingerprint", {"id": "second"})
    assert len(lab.rows("SELECT 1 FROM idempotency_keys")) == 2


def test_expired_keys_are_forgotten_up_to_a_number(lab: Lab) -> None:
    """Those that may still be used are kept."""
    for number in range(4):
        taken(lab, IdempotencyKey(f"k{number}", "fingerprint"))
    lab.change("UPDATE idempotency_keys SET expires_at = now() WHERE key <> 'k0'")

    forgotten = [transact(lab.engine, lambda connection: forget_expired_keys(connection, limit=2)) for _ in range(3)]

    assert forgotten == [2, 1, 0]
    assert [row["key"] for row in lab.rows("SELECT key FROM idempotency_keys")] == ["k0"]
