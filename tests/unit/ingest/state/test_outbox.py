"""The outbox: added once, leased in order and for a minute, removed when it was sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from chassis.db.engine import transact
from ingest.state.outbox import LEASE_S, OutboxEntry, OutboxKind, add_entry, lease_entries, remove_entry
from support.ingest_service import Lab

A = "https://a.example/1.jpg"


@pytest.fixture(name="batches")
def _batches(lab: Lab) -> list[UUID]:
    """Two batches without entries."""
    ids = [UUID(lab.submit(A)) for _ in range(2)]
    lab.change("DELETE FROM outbox")
    return ids


def added(lab: Lab, kind: OutboxKind, batch: UUID, **values: Any) -> int | None:
    """Add an entry of the first generation unless another one is given."""
    return transact(lab.engine, lambda connection: add_entry(connection, kind, batch, **{"generation": 1, **values}))


def test_an_entry_is_leased_as_it_was_added(lab: Lab, batches: list[UUID]) -> None:
    first = added(lab, OutboxKind.NOTIFY, batches[0], generation=3, payload={"status": "FAILED"})
    second = added(lab, OutboxKind.START, batches[1])
    assert first is not None
    assert second is not None

    assert lease_entries(lab.engine, limit=10) == [
        OutboxEntry(first, OutboxKind.NOTIFY, batches[0], 3, {"status": "FAILED"}, 1),
        OutboxEntry(second, OutboxKind.START, batches[1], 1, {}, 1),
    ]


def test_one_run_of_a_batch_has_one_entry_of_a_kind(lab: Lab, batches: list[UUID]) -> None:
    """The second one is told so; another run, kind or batch has its own."""
    assert added(lab, OutboxKind.NOTIFY, batches[0]) is not None
    assert added(lab, OutboxKind.NOTIFY, batches[0], payload={"status": "FAILED"}) is None
    assert added(lab, OutboxKind.NOTIFY, batches[0], generation=2) is not None
    assert added(lab, OutboxKind.START, batches[0]) is not None
    assert added(lab, OutboxKind.NOTIFY, batches[1]) is not None


def test_a_leased_entry_comes_back_with_the_next_attempt_when_nobody_says_that_it_was_sent(
    lab: Lab, batches: list[UUID]
) -> None:
    added(lab, OutboxKind.START, batches[0])
    leased = [lease_entries(lab.engine, limit=10) for _ in range(2)]
    [row] = lab.rows("SELECT extract(epoch FROM next_at - now())::float AS s FROM outbox")
    lab.change("UPDATE outbox SET next_at = now()")

    [again] = lease_entries(lab.engine, limit=10)

    assert [len(entries) for entries in leased] == [1, 0]
    assert LEASE_S - 5 < row["s"] <= LEASE_S
    assert again.attempt == 2


def test_an_entry_that_was_sent_is_gone_and_no_other(lab: Lab, batches: list[UUID]) -> None:
    first, second = (added(lab, OutboxKind.START, batch) for batch in batches)
    assert first is not None

    remove_entry(lab.engine, first)

    assert [row["id"] for row in lab.rows("SELECT id FROM outbox")] == [second]


def test_an_entry_is_due_after_its_delay(lab: Lab, batches: list[UUID]) -> None:
    added(lab, OutboxKind.NOTIFY, batches[0], delay_s=100.0)
    early = lease_entries(lab.engine, limit=10)
    lab.change("UPDATE outbox SET next_at = next_at - interval '101 s'")

    assert early == []
    assert len(lease_entries(lab.engine, limit=10)) == 1


def test_the_oldest_entries_are_leased_first_and_sent_in_the_order_in_which_they_were_added(
    lab: Lab, batches: list[UUID]
) -> None:
    kinds = (OutboxKind.ACCEPTED, OutboxKind.STARTED, OutboxKind.NOTIFY)
    ids = [added(lab, kind, batches[0]) for kind in kinds]
    lab.change(
        "UPDATE outbox SET next_at = now() - make_interval(secs => CASE kind"
        " WHEN 'accepted' THEN 1 WHEN 'started' THEN 2 ELSE 3 END)"
    )

    assert [entry.id for entry in lease_entries(lab.engine, limit=2)] == ids[1:]


def test_entries_are_chosen_by_id_kind_and_batch(lab: Lab, batches: list[UUID]) -> None:
    kinds = (OutboxKind.START, OutboxKind.ACCEPTED)
    ids = {(kind, batch): added(lab, kind, batch) for kind in kinds for batch in batches}
    choices: list[dict[str, Any]] = [
        {"only": ids[OutboxKind.START, batches[1]]},
        {"kinds": [OutboxKind.ACCEPTED]},
        {"batch": batches[0]},
        {"batch": batches[1], "kinds": [OutboxKind.START, OutboxKind.NOTIFY]},
    ]

    found = []
    for choice in choices:
        lab.change("UPDATE outbox SET next_at = now()")
        found.append({entry.id for entry in lease_entries(lab.engine, limit=10, **choice)})

    assert found == [
        {ids[OutboxKind.START, batches[1]]},
        {ids[OutboxKind.ACCEPTED, batch] for batch in batches},
        {ids[kind, batches[0]] for kind in kinds},
        {ids[OutboxKind.START, batches[1]]},
    ]
