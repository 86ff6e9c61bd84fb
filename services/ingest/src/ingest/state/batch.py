"""The row of a batch as a value, and the few ways to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from chassis.auth.callers import SYSTEM, Caller
from ingest.errors import batch_not_found


class BatchStatus(StrEnum):
    """`PENDING → PROCESSING → SEALING →` one of the four ends; a large sheet is IMPORTING before.

    Outside, SEALING is shown as PROCESSING, and IMPORTING as PENDING.
    """

    IMPORTING = "IMPORTING"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    SEALING = "SEALING"
    COMPLETED = "COMPLETED"
    COMPLETED_WITH_ERRORS = "COMPLETED_WITH_ERRORS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Return whether nothing but a retry changes the batch any more."""
        return self not in _OPEN_STATUSES

    @property
    def public(self) -> str:
        """Return the word for clients, who need not know of importing and sealing."""
        return _PUBLIC.get(self, self).value


_OPEN_STATUSES = {BatchStatus.IMPORTING, BatchStatus.PENDING, BatchStatus.PROCESSING, BatchStatus.SEALING}
_PUBLIC = {BatchStatus.IMPORTING: BatchStatus.PENDING, BatchStatus.SEALING: BatchStatus.PROCESSING}


class ImageStatus(StrEnum):
    """`PENDING → DISPATCHED → SUCCEEDED | FAILED | CANCELLED`; transient trouble leads back to PENDING."""

    PENDING = "PENDING"
    DISPATCHED = "DISPATCHED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of `batches` (without the long columns that only the export needs)."""

    request_id: UUID
    owner: str | None
    status: BatchStatus
    generation: int
    cancel_requested: bool
    options: Mapping[str, Any]
    dialect: Mapping[str, Any]
    source_name: str
    webhook_url: str | None
    row_count: int
    invalid_rows: int
    deduplicated: int
    total: int
    pending: int
    succeeded: int
    failed: int
    bytes_in: int
    bytes_out: int
    larger_images: int
    larger_bytes: int
    reused: int
    execution: str | None
    callback_url: str | None
    failures: int
    error: Mapping[str, Any] | None
    report_uri: str | None
    created_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime
    sealed_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime
    estimate: Mapping[str, Any] | None = None

    def counts(self) -> dict[str, int]:
        """Return e.g. `{"total": 3, "pending": 1, "succeeded": 2, "failed": 0}`."""
        return {
            "total": self.total,
            "pending": self.pending,
            "succeeded": self.succeeded,
            "failed": self.failed,
        }


_COLUMNS = tuple(field.name for field in fields(Batch))
# What a caller may not see is not there for it: the same answer, in the same time, as for an unknown id.
SELECT_BATCH = """
    SELECT * FROM batches
    WHERE request_id = :request_id AND deleted_row IS NULL
      AND (:sees_all OR owner IS NOT DISTINCT FROM CAST(:owner AS text))
"""
_SELECT = text(SELECT_BATCH)


def batch_from_row(row: RowMapping) -> Batch:
    """Return the batch of a database row; further columns are left out."""
    values = {name: row[name] for name in _COLUMNS}
    values["status"] = BatchStatus(values["status"])
    return Batch(**values)


def load_batch(connection: Connection, request_id: UUID, *, seen_by: Caller = SYSTEM) -> Batch:
    """Return the batch as it is now.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, also when the caller may not see it.
    """
    row = connection.execute(_SELECT, visible_key(request_id, seen_by)).mappings().first()
    return found_batch(row, request_id)


def visible_key(request_id: UUID, seen_by: Caller) -> dict[str, Any]:
    """Return the values of `SELECT_BATCH`."""
    return {"request_id": request_id, "sees_all": seen_by.sees_all, "owner": seen_by.owner}


def found_batch(row: RowMapping | None, request_id: UUID) -> Batch:
    """Return the batch of a row.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND when there is no row.
    """
    if row is None:
        raise batch_not_found(request_id)
    return batch_from_row(row)
