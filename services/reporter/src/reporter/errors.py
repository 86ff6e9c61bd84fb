"""The reporter's own errors: every reason it answers, and the AIP-193 errors made of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from chassis.errors import (
    ApiError,
    FieldViolation,
    Status,
    failed_precondition,
    invalid_argument,
    not_found,
    unavailable,
)


class Reason(StrEnum):
    """What programs may switch on; the service's README explains each."""

    REQUEST_INVALID = "REQUEST_INVALID"
    BATCH_NOT_SEALED = "BATCH_NOT_SEALED"
    EXPORT_INCOMPLETE = "EXPORT_INCOMPLETE"
    REPORT_NOT_FOUND = "REPORT_NOT_FOUND"
    DOWNLOAD_LINK_EXPIRED = "DOWNLOAD_LINK_EXPIRED"
    DOWNLOAD_LINK_INVALID = "DOWNLOAD_LINK_INVALID"
    STATUS_NOT_FINAL = "STATUS_NOT_FINAL"
    DELIVERY_NOT_FOUND = "DELIVERY_NOT_FOUND"
    DELIVERIES_BUSY = "DELIVERIES_BUSY"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    QUEUE_UNAVAILABLE = "QUEUE_UNAVAILABLE"


def request_invalid(violations: Sequence[FieldViolation]) -> ApiError:
    """Return a 400 that names every bad field."""
    named = ", ".join(violation.field for violation in violations)
    return ApiError(
        Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, f"The request has bad fields: {named}.", violations=violations
    )


def batch_not_sealed(request_id: str, status: str) -> ApiError:
    """Return a 400 FAILED_PRECONDITION: the rows may still change."""
    return failed_precondition(
        Reason.BATCH_NOT_SEALED,
        f"Batch {request_id} is {status}; a report is made of sealed or finished batches only.",
        status=status,
    )


def export_incomplete(request_id: str, fault: str) -> ApiError:
    """Return a 503: ingest's stream broke off or contradicts itself; nothing was published."""
    return unavailable(Reason.EXPORT_INCOMPLETE, f"The export of batch {request_id} cannot be used: {fault}.")


def report_not_found(request_id: str | None) -> ApiError:
    """Return a 404: no report, not yet, or not the caller's."""
    if request_id is None:
        return not_found(Reason.REPORT_NOT_FOUND, "No batch has a report yet.")
    return not_found(Reason.REPORT_NOT_FOUND, f"Batch {request_id} has no report (yet).", request_id=request_id)


def link_expired() -> ApiError:
    """Return a 403: the link was good once; GET /download_csv gives a new one."""
    return ApiError(
        Status.PERMISSION_DENIED,
        Reason.DOWNLOAD_LINK_EXPIRED,
        "The download link has expired; ask /download_csv for a new one.",
    )


def link_invalid() -> ApiError:
    """Return a 403: the token is missing, was changed, or belongs to another report."""
    return ApiError(
        Status.PERMISSION_DENIED,
        Reason.DOWNLOAD_LINK_INVALID,
        "The download link's token is not valid for this report.",
    )


def status_not_final(status: str) -> ApiError:
    """Return a 400: subscribers are told endings only."""
    return invalid_argument(
        Reason.STATUS_NOT_FINAL, f"{status} is not the final status of a batch; nobody is told.", status=status
    )


def delivery_not_found(delivery_id: str) -> ApiError:
    """Return a 404: no such delivery."""
    return not_found(Reason.DELIVERY_NOT_FOUND, f"There is no delivery {delivery_id}.")


def deliveries_busy() -> ApiError:
    """Return a 429: as many subscribers are being called as this process may call at once."""
    return ApiError(
        Status.RESOURCE_EXHAUSTED,
        Reason.DELIVERIES_BUSY,
        "Too many deliveries are under way in this process.",
        retry_after_s=5,
    )


def storage_unavailable() -> ApiError:
    """Return a 503: Cloud Storage did not do what was asked."""
    return unavailable(Reason.STORAGE_UNAVAILABLE, "Cloud Storage cannot be used at present.")


def queue_unavailable() -> ApiError:
    """Return a 503: Cloud Tasks did not take a task."""
    return unavailable(Reason.QUEUE_UNAVAILABLE, "Cloud Tasks cannot be used at present.")
