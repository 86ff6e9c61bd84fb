"""Locks and compare-and-set, each shown by the rival that has to wait or that comes too late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from chassis.db.engine import transact
from ingest.batches.quotas import Use, confirm_quotas
from ingest.state.execution import drop_execution, hear_from_execution, record_execution
from ingest.state.locks import lock_batch, lock_hosts, lock_image
from support.ingest_service import Lab

A, B = "https://a.example/1.jpg", "https://b.example/2.jpg"
NOTHING = Use(0, 0, 0)


@contextmanager
def impatient(lab: Lab) -> Iterator[Connection]:
    """Give a transaction that waits for no lock."""
    with lab.engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
        yield connection


@pytest.mark.fault("J9")
def test_one_of_an_owner_at_a_time_confirms_its_quotas(lab: Lab) -> None:
    """Until the first has committed the second cannot look: what fits one by one must fit together."""
    with lab.engine.begin() as first:
        confirm_quotas(first, lab.settings, "alice", NOTHING)
        with impatient(lab) as other:
            confirm_quotas(other, lab.settings, "bob", NOTHING)
        with pytest.raises(OperationalError, match="lock timeout"), impatient(lab) as second:
            confirm_quotas(second, lab.settings, "alice", NOTHING)
    with impatient(lab) as second:
        confirm_quotas(second, lab.settings, "alice", NOTHING)


@pytest.mark.fault("A12")
def test_an_execution_is_recorded_only_where_there_is_none(lab: Lab) -> None:
    """It began itself before we could say so, or a rival did: then its word stays."""
    batch = UUID(lab.submit(A))

    def recorded(execution: str) -> bool:
        return transact(lab.engine, lambda connection: record_execution(connection, batch, execution))

    assert recorded("first") is True
    assert recorded("second") is False
    assert lab.batch_row(str(batch))["execution"] == "first"


def test_an_execution_of_a_batch_that_has_ended_is_not_recorded(lab: Lab) -> None:
    """There is nothing to supervise."""
    request_id = lab.submit(A)
    lab.finish_all(request_id)
    lab.change("UPDATE batches SET execution = NULL")
    assert transact(lab.engine, lambda c: record_execution(c, UUID(request_id), "late")) is False
    assert lab.batch_row(request_id)["execution"] is None


def test_only_the_owner_is_heard_and_dropped(lab: Lab) -> None:
    """An execution that was replaced changes nothing any more."""
    batch = UUID(lab.submit(A))
    transact(lab.engine, lambda c: record_execution(c, batch, "owner"))

    assert transact(lab.engine, lambda c: hear_from_execution(c, batch, "rival")) is None
    assert transact(lab.engine, lambda c: drop_execution(c, batch, "rival", failed=True)) is None
    row = lab.batch_row(str(batch))
    assert (row["execution"], row["failures"]) == ("owner", 0)

    dropped = transact(lab.engine, lambda c: drop_execution(c, batch, "owner", failed=True, error={"step": "x"}))
    assert dropped is not None
    assert (dropped.execution, dropped.failures, dict(dropped.error or {})["step"]) == (None, 1, "x")


def test_locks_make_rivals_wait(lab: Lab) -> None:
    """The batch, a host, an image: each until the end of the transaction."""
    batch = UUID(lab.submit(A, B))
    (image, _other) = (row["id"] for row in lab.rows("SELECT id FROM images ORDER BY row_number"))
    with lab.engine.begin() as holder:
        assert lock_image(holder, batch, image) is not None
        lock_batch(holder, batch)
        assert set(lock_hosts(holder, ["b.example", "a.example"])) == {"a.example", "b.example"}
        for statement in (
            lambda c: lock_image(c, batch, image),
            lambda c: lock_batch(c, batch),
            lambda c: lock_hosts(c, ["a.example"]),
        ):
            with pytest.raises(OperationalError, match="lock timeout"), impatient(lab) as rival:
                statement(rival)


def test_an_image_of_another_batch_is_not_locked_as_ours(lab: Lab) -> None:
    """Its id alone does not make it one of this batch."""
    first, second = UUID(lab.submit(A)), UUID(lab.submit(B))
    (image,) = (row["id"] for row in lab.rows("SELECT id FROM images WHERE batch = :b", b=first))
    assert transact(lab.engine, lambda c: lock_image(c, second, image)) is None
