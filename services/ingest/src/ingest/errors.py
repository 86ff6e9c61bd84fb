"""The reasons ingest answers with, and the errors that more than one module raises."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from chassis.errors import ApiError, Status, aborted, failed_precondition, invalid_argument, not_found, unavailable


class Reason(StrEnum):
    """Machine-readable reasons of ingest's own errors, each with its status and meaning below it."""

    ATTEMPT_UNKNOWN = "ATTEMPT_UNKNOWN"
    """400: an outcome of an attempt that was never handed out"""
    BACKLOG_TOO_OLD = "BACKLOG_TOO_OLD"
    """503: batches wait too long for their start, or due images for a compressor; uploads are taken again afterwards"""
    BATCH_FINISHED = "BATCH_FINISHED"
    """400: cancel: no image of the batch is open any more"""
    BATCH_NOT_FINISHED = "BATCH_NOT_FINISHED"
    """400: retry: the batch is still running"""
    BATCH_NOT_FOUND = "BATCH_NOT_FOUND"
    """404: no such batch, or not the caller's"""
    BATCH_OPEN = "BATCH_OPEN"
    """400: finish: images are still open"""
    BUCKET_NOT_ALLOWED = "BUCKET_NOT_ALLOWED"
    """403: upload: `csv_uri` names a bucket that is not in `INGEST_SHEET_BUCKETS`"""
    EXECUTIONS_UNAVAILABLE = "EXECUTIONS_UNAVAILABLE"
    """503: the Executions API cannot be reached or refuses"""
    FILE_MISSING = "FILE_MISSING"
    """400: the upload has neither a sheet nor `csv_uri` nor `csv_text`"""
    HOST_BUSY = "HOST_BUSY"
    """503: console: the host of a picture is asked for nothing more at the moment"""
    IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"
    """400: not 1 to 255 printable ASCII characters"""
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    """422: the key was used with another sheet or other fields"""
    IMAGE_NOT_FOUND = "IMAGE_NOT_FOUND"
    """404: the batch has no such image"""
    NOTHING_TO_RETRY = "NOTHING_TO_RETRY"
    """400: no image of the batch failed"""
    NOT_OWNER = "NOT_OWNER"
    """409: the execution does not own the batch (ABORTED)"""
    OTHER_ORIGIN = "OTHER_ORIGIN"
    """403: console: a form that no page of ours has sent"""
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    """429: the owner has as many batches or images as it may; limit, value and use are named"""
    REPORT_FILE_NOT_FOUND = "REPORT_FILE_NOT_FOUND"
    """404: console: the report has no such file, or is not written yet"""
    SHEET_INVALID = "SHEET_INVALID"
    """400: the sheet has problems; the detail `SheetProblems` lists up to 1000 of them"""
    SHEET_NOT_FOUND = "SHEET_NOT_FOUND"
    """404: `csv_uri`: no such object, or it may not be read"""
    SHEET_TOO_LARGE = "SHEET_TOO_LARGE"
    """413: `csv_uri`: the object is over the limit"""
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    """503: Cloud Storage did not deliver"""
    TASKS_UNAVAILABLE = "TASKS_UNAVAILABLE"
    """503: Cloud Tasks cannot be reached or refuses"""
    UPLOADS_NOT_CONFIGURED = "UPLOADS_NOT_CONFIGURED"
    """400: there is no `INGEST_UPLOADS_BUCKET`, so no address to upload to is given"""


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
