"""The keys by which a repeated upload is known, each with the answer that the first one got."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

_FORGET = text(
    """
    DELETE FROM idempotency_keys
    WHERE owner = :owner AND endpoint = 'upload' AND key = :key AND expires_at <= now()
    """
)
_TAKE = text(
    """
    INSERT INTO idempotency_keys (owner, endpoint, key, fingerprint, response, expires_at)
    VALUES (:owner, 'upload', :key, :fingerprint, CAST(:response AS jsonb), now() + make_interval(secs => :ttl_s))
    ON CONFLICT DO NOTHING
    """
)
_READ = text(
    "SELECT fingerprint, response FROM idempotency_keys WHERE owner = :owner AND endpoint = 'upload' AND key = :key"
)
_FORGET_EXPIRED = text(
    """
    WITH page AS MATERIALIZED (
        SELECT owner, endpoint, key FROM idempotency_keys
        WHERE expires_at <= now() LIMIT :limit FOR UPDATE SKIP LOCKED)
    DELETE FROM idempotency_keys WHERE (owner, endpoint, key) IN (SELECT owner, endpoint, key FROM page)
    """
)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key for one upload, and the fingerprint of what came with it."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class EarlierUpload:
    """What a key was taken for, and what that upload was answered."""

    fingerprint: str
    response: Mapping[str, Any]


def take_key(
    connection: Connection, key: IdempotencyKey, owner: str | None, response: Mapping[str, Any], *, ttl_s: float
) -> EarlierUpload | None:
    """Take a key for this transaction, or return the upload that took it before.

    no key, or an expired one → this upload's key. Locks the key; waits for a rival that has not committed yet, and
    afterwards either the key is ours or the rival's answer is visible.
    """
    # Nobody's keys are those of the owner "", which no API key can have.
    values: dict[str, Any] = {"owner": owner or "", "key": key.key}
    connection.execute(_FORGET, values)
    taken = connection.execute(
        _TAKE, {**values, "fingerprint": key.fingerprint, "response": json.dumps(response), "ttl_s": ttl_s}
    )
    if taken.rowcount:
        return None
    stored = connection.execute(_READ, values).mappings().one()
    return EarlierUpload(stored["fingerprint"], stored["response"])


def forget_expired_keys(connection: Connection, *, limit: int) -> int:
    """Delete keys that nobody may use any more; return how many.

    expired key → no key. Locks those keys; passes over those that somebody holds.
    """
    return connection.execute(_FORGET_EXPIRED, {"limit": limit}).rowcount
