"""The import of a large sheet: checked once, then stored in chunks, each in a transaction of its own.

`IMPORTING → PENDING | SEALING`. A chunk is written by compare-and-set on the number of stored rows, so two who import
the same batch never write a row twice, and whoever goes on after a kill begins where the last commit ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from ingest.state.batch import Batch, batch_from_row

SHEET_STEP = "sheet"
"""The step that the error of a batch names when its sheet is to blame; failed executions name other ones."""


@dataclass(frozen=True, slots=True)
class Import:
    """A row of `imports`; `way` is None until the sheet was checked."""

    batch: UUID
    csv_uri: str
    object_generation: int
    asked: Mapping[str, Any]
    way: Mapping[str, Any] | None
    rows_checked: int
    rows_stored: int
    images_stored: int
    warnings: Sequence[Mapping[str, Any]]
    warning_count: int
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a chunk of rows added: images, those of them that failed or repeat a URL, and rows that were skipped."""

    rows: int
    images: int
    failed: int
    deduplicated: int
    invalid_rows: int


_COLUMNS = tuple(field.name for field in fields(Import))
_LOAD = text("SELECT * FROM imports WHERE batch = :batch")
_ADD = text(
    """
    INSERT INTO imports (batch, csv_uri, object_generation, asked)
    VALUES (:batch, :csv_uri, :object_generation, CAST(:asked AS jsonb))
    """
)
_CHECKED = text("UPDATE imports SET rows_checked = :rows WHERE batch = :batch AND way IS NULL")
_HEARD = text(
    "UPDATE batches SET heartbeat_at = now() WHERE request_id = :batch AND status = 'IMPORTING' RETURNING request_id"
)
_SURVEYED = text(
    """
    WITH own AS (
        UPDATE imports SET way = CAST(:way AS jsonb), rows_checked = :row_count, warnings = CAST(:warnings AS jsonb),
                           warning_count = :warning_count
        WHERE batch = :batch AND way IS NULL
        RETURNING batch)
    UPDATE batches SET header = CAST(:header AS jsonb), columns = CAST(:columns AS jsonb),
                       dialect = CAST(:dialect AS jsonb), row_count = :row_count, invalid_rows = :invalid_rows,
                       total = :total, failed = :failed, pending = :total - :failed, heartbeat_at = now()
    FROM own WHERE request_id = own.batch AND status = 'IMPORTING'
    """
)
_STORED = text(
    """
    WITH own AS (
        UPDATE imports SET rows_stored = rows_stored + :rows, images_stored = images_stored + :images,
                           failed_stored = failed_stored + :failed, invalid_stored = invalid_stored + :invalid_rows
        WHERE batch = :batch
        RETURNING batch)
    UPDATE batches SET deduplicated = deduplicated + :deduplicated, heartbeat_at = now()
    FROM own WHERE request_id = own.batch
    """
)
_FINISH = "UPDATE imports SET finished_at = now() WHERE batch = :batch AND finished_at IS NULL RETURNING *"
_COMPLETE = text(
    f"""
    WITH own AS ({_FINISH})
    UPDATE batches SET status = CASE WHEN pending = 0 THEN 'SEALING' ELSE 'PENDING' END,
                       sealed_at = CASE WHEN pending = 0 THEN clock_timestamp() END, heartbeat_at = now()
    FROM own WHERE request_id = own.batch AND status = 'IMPORTING'
    RETURNING batches.*
    """
)
_STOP = text(
    f"""
    WITH own AS ({_FINISH})
    UPDATE batches SET
        row_count = own.rows_stored, invalid_rows = own.invalid_stored, total = own.images_stored,
        failed = own.failed_stored, pending = own.images_stored - own.failed_stored,
        status = CASE WHEN own.images_stored = own.failed_stored THEN 'SEALING' ELSE 'PENDING' END,
        sealed_at = CASE WHEN own.images_stored = own.failed_stored THEN clock_timestamp() END, heartbeat_at = now(),
        error = coalesce(CAST(:error AS jsonb) || jsonb_build_object('at', now()), error)
    FROM own WHERE request_id = own.batch AND status = 'IMPORTING'
    RETURNING batches.*
    """
)


def load_import(connection: Connection, request_id: UUID) -> Import | None:
    """Return how far the import of a batch is; None for a batch that came in at once."""
    row = connection.execute(_LOAD, {"batch": request_id}).mappings().first()
    return None if row is None else Import(**{name: row[name] for name in _COLUMNS})


def add_import(
    connection: Connection, request_id: UUID, *, csv_uri: str, object_generation: int, asked: Mapping[str, Any]
) -> None:
    """Note what a new batch is to be imported from.

    nothing → to be checked. The caller has inserted the batch, and holds it.
    """
    values = {
        "batch": request_id,
        "csv_uri": csv_uri,
        "object_generation": object_generation,
        "asked": json.dumps(asked),
    }
    connection.execute(_ADD, values)


def note_checked(connection: Connection, request_id: UUID, rows: int) -> bool:
    """Note how many rows were checked, as a sign of life; false when the batch is not imported any more.

    to be checked → the same. Locks the batch.
    """
    heard = connection.execute(_HEARD, {"batch": request_id}).first() is not None
    connection.execute(_CHECKED, {"batch": request_id, "rows": rows})
    return heard


def note_survey(connection: Connection, request_id: UUID, values: Mapping[str, Any]) -> bool:
    """Keep what a check found: the batch's header, columns, dialect and counters; false when another one did before.

    to be checked → checked. The caller holds the batch.

    Args:
        connection: the transaction.
        request_id: the batch.
        values: way, header, columns, dialect and warnings, all JSON; warning_count, row_count, invalid_rows, total and
            failed.
    """
    encoded = {name: json.dumps(values[name]) for name in ("way", "header", "columns", "dialect", "warnings")}
    return bool(connection.execute(_SURVEYED, {**values, **encoded, "batch": request_id}).rowcount)


def note_chunk(connection: Connection, request_id: UUID, chunk: Chunk) -> None:
    """Count a chunk that this transaction has written.

    so many rows stored → more rows stored. The caller holds the batch and has looked how many are stored.
    """
    values = {name: getattr(chunk, name) for name in ("rows", "images", "failed", "deduplicated", "invalid_rows")}
    connection.execute(_STORED, {**values, "batch": request_id})


def complete_import(connection: Connection, request_id: UUID) -> Batch:
    """Let the work on a batch begin whose rows are all stored.

    IMPORTING → PENDING, or SEALING without an image to do. The caller holds the batch.
    """
    return batch_from_row(connection.execute(_COMPLETE, {"batch": request_id}).mappings().one())


def stop_import(connection: Connection, request_id: UUID, *, error: Mapping[str, Any] | None = None) -> Batch:
    """End an import early: the batch is what was stored until now, perhaps nothing.

    IMPORTING → PENDING, or SEALING without an image to do. The caller holds the batch.

    Args:
        connection: the transaction.
        request_id: the batch.
        error: why, when the sheet is to blame; then the batch will have FAILED, and a moment is added.
    """
    kept = None if error is None else json.dumps({"step": SHEET_STEP, **error})
    return batch_from_row(connection.execute(_STOP, {"batch": request_id, "error": kept}).mappings().one())
