"""How far the import of a sheet is: noted step by step, and the batch is what was stored when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Connection

from chassis.db.engine import transact
from ingest.state.batch import Batch, BatchStatus
from ingest.state.imports import (
    Chunk,
    Import,
    add_import,
    complete_import,
    load_import,
    note_checked,
    note_chunk,
    note_survey,
    stop_import,
)
from support.ingest_service import Lab

A = "https://a.example/1.jpg"
OLD = "UPDATE batches SET heartbeat_at = now() - interval '1 hour'"
FOUND: dict[str, Any] = {
    "way": {"way": 1},
    "header": ["a"],
    "columns": {"b": 2},
    "dialect": {"c": 3},
    "warnings": [{"d": 4}],
    "warning_count": 5,
    "row_count": 60,
    "invalid_rows": 7,
    "total": 80,
    "failed": 9,
}
CHUNK = Chunk(rows=10, images=20, failed=3, deduplicated=4, invalid_rows=5)
T = TypeVar("T")


@pytest.fixture(name="batch")
def _batch(lab: Lab) -> UUID:
    """A batch whose sheet is to be imported, not heard of for an hour, and another batch."""
    ids = [UUID(lab.submit(A)) for _ in range(2)]
    lab.change(OLD)
    lab.change("UPDATE batches SET status = 'IMPORTING', total = 0, pending = 0 WHERE request_id = :b", b=ids[0])
    done(lab, lambda c: add_import(c, ids[0], csv_uri="gs://b/o", object_generation=17, asked={"quality": 70}))
    return ids[0]


def done(lab: Lab, work: Callable[[Connection], T]) -> T:
    """Do something in a transaction."""
    return transact(lab.engine, work)


def loaded(lab: Lab, batch: UUID) -> Import:
    """Return how far the import is."""
    found = done(lab, lambda connection: load_import(connection, batch))
    assert found is not None
    return found


def heard_of(lab: Lab) -> set[UUID]:
    """Return the batches of which something was heard just now."""
    recent = "SELECT request_id FROM batches WHERE heartbeat_at > now() - interval '1 minute'"
    return {row["request_id"] for row in lab.rows(recent)}


def test_an_import_begins_with_what_was_asked(lab: Lab, batch: UUID) -> None:
    assert loaded(lab, batch) == Import(batch, "gs://b/o", 17, {"quality": 70}, None, 0, 0, 0, [], 0, None)


def test_a_batch_that_came_in_at_once_has_no_import(lab: Lab, batch: UUID) -> None:
    [other] = lab.rows("SELECT request_id FROM batches WHERE request_id <> :b", b=batch)

    assert done(lab, lambda connection: load_import(connection, other["request_id"])) is None


def test_rows_that_were_checked_are_a_sign_of_life(lab: Lab, batch: UUID) -> None:
    assert done(lab, lambda connection: note_checked(connection, batch, 30)) is True

    assert loaded(lab, batch).rows_checked == 30
    assert heard_of(lab) == {batch}


def test_a_batch_that_is_not_imported_any_more_is_not_heard_of(lab: Lab, batch: UUID) -> None:
    """Whoever goes on checking it learns that it may stop."""
    lab.change("UPDATE batches SET status = 'PENDING' WHERE request_id = :b", b=batch)

    assert done(lab, lambda connection: note_checked(connection, batch, 30)) is False
    assert heard_of(lab) == set()


def test_what_a_check_found_is_kept_once(lab: Lab, batch: UUID) -> None:
    """Of two that check the same sheet the first is believed; the second counts no rows any more."""
    assert done(lab, lambda connection: note_survey(connection, batch, FOUND)) is True
    assert done(lab, lambda connection: note_survey(connection, batch, FOUND | {"row_count": 61})) is False
    done(lab, lambda connection: note_checked(connection, batch, 30))

    found = loaded(lab, batch)
    assert (found.way, found.rows_checked, found.warnings, found.warning_count) == ({"way": 1}, 60, [{"d": 4}], 5)
    row = lab.batch_row(str(batch))
    assert {name: row[name] for name in ("header", "columns", "dialect", "row_count", "invalid_rows", "total")} == {
        name: FOUND[name] for name in ("header", "columns", "dialect", "row_count", "invalid_rows", "total")
    }
    assert (row["failed"], row["pending"]) == (9, 71)
    assert heard_of(lab) == {batch}


def test_chunks_add_up(lab: Lab, batch: UUID) -> None:
    for chunk in (CHUNK, replace(CHUNK, rows=1)):
        done(lab, lambda connection, chunk=chunk: note_chunk(connection, batch, chunk))  # type: ignore[misc]

    [row] = lab.rows("SELECT * FROM imports")
    stored = ("rows_stored", "images_stored", "failed_stored", "invalid_stored")
    assert tuple(row[name] for name in stored) == (11, 40, 6, 10)
    assert lab.batch_row(str(batch))["deduplicated"] == 8
    assert heard_of(lab) == {batch}


@pytest.mark.parametrize(("failed", "status"), [(79, BatchStatus.PENDING), (80, BatchStatus.SEALING)])
def test_a_complete_import_lets_the_work_begin_or_seals_a_batch_without_any(
    lab: Lab, batch: UUID, failed: int, status: BatchStatus
) -> None:
    done(lab, lambda connection: note_survey(connection, batch, FOUND | {"failed": failed}))
    lab.change(OLD)

    found = done(lab, lambda connection: complete_import(connection, batch))

    assert (found.request_id, found.status) == (batch, status)
    assert (found.sealed_at is not None) == (status is BatchStatus.SEALING)
    assert loaded(lab, batch).finished_at is not None
    assert heard_of(lab) == {batch}


def stopped(lab: Lab, batch: UUID, error: dict[str, Any] | None) -> Batch:
    """End an import early."""
    return done(lab, lambda connection: stop_import(connection, batch, error=error))


def test_a_stopped_import_leaves_what_was_stored(lab: Lab, batch: UUID) -> None:
    """The counters of the check were those of the whole sheet."""
    done(lab, lambda connection: note_survey(connection, batch, FOUND))
    done(lab, lambda connection: note_chunk(connection, batch, CHUNK))

    found = stopped(lab, batch, None)

    assert (found.status, found.error, found.sealed_at) == (BatchStatus.PENDING, None, None)
    assert (found.row_count, found.invalid_rows, found.counts()) == (
        10,
        5,
        {"total": 20, "pending": 17, "succeeded": 0, "failed": 3},
    )


def test_an_import_that_is_stopped_before_its_first_chunk_seals_an_empty_batch(lab: Lab, batch: UUID) -> None:
    """The error names the sheet as the step, and when it happened."""
    found = stopped(lab, batch, {"error": "gone"})

    assert (found.status, found.total, found.sealed_at is not None) == (BatchStatus.SEALING, 0, True)
    error = dict(found.error or {})
    assert error.pop("at")
    assert error == {"step": "sheet", "error": "gone"}
