"""The table `webhook_secrets`: the seeds of endpoints' signing secrets, never a secret.

A secret signs until its `expire_time`; the newest one has none. Only `add_secret` sets the time, and deletes what has
expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class SecretSeed:
    """What a row keeps of a secret; worthless without the key that `key_id` names."""

    key_id: str
    salt: bytes


_EXPIRE_OTHERS = text(
    """
    UPDATE webhook_secrets SET expire_time = now() + make_interval(secs => :overlap_s)
    WHERE endpoint_id = :endpoint_id AND salt <> :salt
      AND (expire_time IS NULL OR expire_time > now() + make_interval(secs => :overlap_s))
    """
)
_DELETE_EXPIRED = text("DELETE FROM webhook_secrets WHERE endpoint_id = :endpoint_id AND expire_time <= now()")
_ADD = text(
    """
    INSERT INTO webhook_secrets (endpoint_id, salt, key_id, create_time, expire_time)
    VALUES (:endpoint_id, :salt, :key_id, now(), NULL)
    ON CONFLICT (endpoint_id, salt) DO NOTHING
    """
)
_LIVE = text(
    """
    SELECT key_id, salt FROM webhook_secrets
    WHERE endpoint_id = :endpoint_id AND (expire_time IS NULL OR expire_time > now())
    ORDER BY expire_time DESC NULLS FIRST, create_time DESC
    """
)
_DELETE_ALL = text("DELETE FROM webhook_secrets WHERE endpoint_id = :endpoint_id")


def add_secret(connection: Connection, endpoint_id: UUID, seed: SecretSeed, *, overlap_s: float) -> int:
    """Insert a secret and return how many sign now; those before it sign for `overlap_s` more at most.

    nothing → newest, newest → signing until its time, expired → nothing; the caller holds the lock of the endpoint, or
    has just inserted it.
    """
    values = {"endpoint_id": endpoint_id, "salt": seed.salt}
    connection.execute(_EXPIRE_OTHERS, {**values, "overlap_s": overlap_s})
    connection.execute(_DELETE_EXPIRED, {"endpoint_id": endpoint_id})
    connection.execute(_ADD, {**values, "key_id": seed.key_id})
    return len(live_secrets(connection, endpoint_id))


def live_secrets(connection: Connection, endpoint_id: UUID) -> tuple[SecretSeed, ...]:
    """Return what an endpoint's events are signed with now, the newest first."""
    rows = connection.execute(_LIVE, {"endpoint_id": endpoint_id}).mappings()
    return tuple(SecretSeed(row["key_id"], bytes(row["salt"])) for row in rows)


def delete_secrets(connection: Connection, endpoint_id: UUID) -> None:
    """Signing → nothing, for all secrets of an endpoint; the caller holds the endpoint's lock."""
    connection.execute(_DELETE_ALL, {"endpoint_id": endpoint_id})
