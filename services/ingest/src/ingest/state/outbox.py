"""The outbox: what is to be sent is committed together with the change that it tells of, and sent afterwards.

An entry is leased before it is sent (its `next_at` moves on), so two relays never send it at the same moment and a
relay that dies only delays it. What is sent may arrive twice; the receivers are made for that.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.db.engine import transact

LEASE_S = 60
"""Seconds after which an entry whose relay said nothing is sent again."""


class OutboxKind(StrEnum):
    """What an entry is for: a batch to start; telling subscribers that it was accepted, started, or has ended."""

    START = "start"
    NOTIFY = "notify"
    ACCEPTED = "accepted"
    STARTED = "started"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A leased entry; `attempt` counts from 1 and is part of the names made from it."""

    id: int
    kind: OutboxKind
    batch: UUID
    generation: int
    payload: Mapping[str, Any]
    attempt: int


_ADD = text(
    """
    INSERT INTO outbox (kind, batch, generation, payload, next_at)
    VALUES (:kind, :batch, :generation, CAST(:payload AS jsonb), now() + make_interval(secs => :delay_s))
    ON CONFLICT (kind, batch, generation) DO NOTHING
    RETURNING id
    """
)
_LEASE = text(
    """
    WITH due AS (
        SELECT id FROM outbox
        WHERE next_at <= now() AND kind = ANY(:kinds)
          AND (CAST(:id AS bigint) IS NULL OR id = :id) AND (CAST(:batch AS uuid) IS NULL OR batch = :batch)
        ORDER BY next_at, id LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE outbox SET attempts = attempts + 1, next_at = now() + make_interval(secs => :lease_s)
    FROM due WHERE outbox.id = due.id
    RETURNING outbox.*
    """
)
_REMOVE = text("DELETE FROM outbox WHERE id = :id")


def add_entry(
    connection: Connection,
    kind: OutboxKind,
    batch: UUID,
    *,
    generation: int,
    payload: Mapping[str, Any] | None = None,
    delay_s: float = 0.0,
) -> int | None:
    """Add an entry to the running transaction; None when this batch and generation has one already.

    nothing → due after `delay_s`. The caller holds the batch; locks the new entry.
    """
    found: int | None = connection.execute(
        _ADD,
        {
            "kind": kind.value,
            "batch": batch,
            "generation": generation,
            "payload": json.dumps(payload or {}),
            "delay_s": delay_s,
        },
    ).scalar_one_or_none()
    return found


def lease_entries(
    engine: Engine,
    *,
    limit: int,
    only: int | None = None,
    kinds: Collection[OutboxKind] = tuple(OutboxKind),
    batch: UUID | None = None,
) -> list[OutboxEntry]:
    """Take due entries for sending, oldest first; `only` names one entry, `kinds` and `batch` choose some.

    Entries of a kind that a later release added are left to that release.

    due → leased, which is due again after `LEASE_S`. Locks the entries; passes over those that somebody holds.
    """
    values = {"id": only, "batch": batch, "kinds": [kind.value for kind in kinds], "limit": limit, "lease_s": LEASE_S}

    def work(connection: Connection) -> list[OutboxEntry]:
        rows = sorted(connection.execute(_LEASE, values).mappings(), key=itemgetter("id"))
        return [
            OutboxEntry(
                row["id"], OutboxKind(row["kind"]), row["batch"], row["generation"], row["payload"], row["attempts"]
            )
            for row in rows
        ]

    return transact(engine, work)


def remove_entry(engine: Engine, entry_id: int) -> None:
    """Delete an entry that has been sent.

    leased → nothing. Locks the entry.
    """
    transact(engine, lambda connection: connection.execute(_REMOVE, {"id": entry_id}))
