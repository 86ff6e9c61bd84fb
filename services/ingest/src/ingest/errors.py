"""The reasons ingest answers with, and the errors that more than one module raises."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from chassis.errors import ApiError, Status, aborted, failed_precondition, invalid_argument, not_found, unavailable


class Reason(StrEnum):
    """Machine-readable reasons of ingest's own errors; the README's table explains each."""

    ATTEMPT_UNKNOWN = "ATTEMPT_UNKNOWN"
    BACKLOG_TOO_OLD = "BACKLOG_TOO_OLD"
    BATCH_FINISHED = "BATCH_FINISHED"
    BATCH_NOT_FINISHED = "BATCH_NOT_FINISHED"
    BATCH_NOT_FOUND = "BATCH_NOT_FOUND"
    BATCH_OPEN = "BATCH_OPEN"
    BUCKET_NOT_ALLOWED = "BUCKET_NOT_ALLOWED"
    EXECUTIONS_UNAVAILABLE = "EXECUTIONS_UNAVAILABLE"
    FILE_MISSING = "FILE_MISSING"
    IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    IMAGE_NOT_FOUND = "IMAGE_NOT_FOUND"
    NOTHING_TO_RETRY = "NOTHING_TO_RETRY"
    NOT_OWNER = "NOT_OWNER"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    SHEET_INVALID = "SHEET_INVALID"
    SHEET_NOT_FOUND = "SHEET_NOT_FOUND"
    SHEET_TOO_LARGE = "SHEET_TOO_LARGE"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    TASKS_UNAVAILABLE = "TASKS_UNAVAILABLE"


def batch_not_found(request_id: UUID | str) -> ApiError:
    """Return the 404 of an unknown batch."""
    return not_found(Reason.BATCH_NOT_FOUND, f"There is no batch {request_id}.", request_id=str(request_id))


def not_owner(request_id: UUID, execution: str) -> ApiError:
    """Return the 409 for an execution that does not, or no longer, own the batch."""
    return aborted(
        Reason.NOT_OWNER,
        f"Execution {execution} does not own batch {request_id}.",
        request_id=str(request_id),
        execution=execution,
    )


__all__ = [
    "ApiError",
    "Reason",
    "Status",
    "aborted",
    "batch_not_found",
    "failed_precondition",
    "invalid_argument",
    "not_found",
    "not_owner",
    "unavailable",
]
