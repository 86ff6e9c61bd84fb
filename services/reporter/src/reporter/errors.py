"""The reporter's own errors: every reason it answers, and the AIP-193 errors made of them."""

from __future__ import annotations

from enum import StrEnum

from chassis.errors import (
    ApiError,
    FieldViolation,
    RequestReason,
    Status,
    aborted,
    failed_precondition,
    invalid_argument,
    not_found,
    unavailable,
)
from chassis.limits import over_limit_facts


class Reason(StrEnum):
    """What programs may switch on, each with its status and meaning below it."""

    BATCH_NOT_SEALED = "BATCH_NOT_SEALED"
    """400: the batch is still running: no report of rows that may change"""
    EXPORT_INCOMPLETE = "EXPORT_INCOMPLETE"
    """503: ingest's stream broke off or contradicts its own counts; nothing was published"""
    REPORT_NOT_FOUND = "REPORT_NOT_FOUND"
    """404: no such report, not yet, not the caller's, or deleted by retention"""
    REPORT_HAS_NO_WORKBOOK = "REPORT_HAS_NO_WORKBOOK"
    """404: no output.xlsx: the sheet did not come as a workbook, or its result passes a limit of Excel"""
    DOWNLOAD_LINK_EXPIRED = "DOWNLOAD_LINK_EXPIRED"
    """403: the link was good once; `/download_csv` gives a new one"""
    DOWNLOAD_LINK_INVALID = "DOWNLOAD_LINK_INVALID"
    """403: the token is missing, was changed or belongs to another report"""
    IMAGE_LINK_EXPIRED = "IMAGE_LINK_EXPIRED"
    """403: the link of a private image was good once; `/status` and a new report have new ones"""
    IMAGE_LINK_INVALID = "IMAGE_LINK_INVALID"
    """403: the signature of the link of a private image is missing or wrong"""
    IMAGE_NOT_FOUND = "IMAGE_NOT_FOUND"
    """404: the image was deleted, by retention or by its owner"""
    STATUS_IS_NO_EVENT = "STATUS_IS_NO_EVENT"
    """400: a notification with a status that no event belongs to"""
    ENDPOINT_NOT_FOUND = "ENDPOINT_NOT_FOUND"
    """404: no such webhook endpoint, deleted, or not the caller's"""
    ENDPOINT_URL_REFUSED = "ENDPOINT_URL_REFUSED"
    """400: nothing would ever be sent to this URL; `fault` says why"""
    ENDPOINT_DISABLED = "ENDPOINT_DISABLED"
    """400: nothing is sent to a disabled endpoint; enable it first"""
    ENDPOINT_LIMIT = "ENDPOINT_LIMIT"
    """400: the owner has `WEBHOOK_MAX_ENDPOINTS` endpoints already"""
    SECRET_LIMIT = "SECRET_LIMIT"  # noqa: S105 - a reason
    """400: five secrets of this endpoint sign already"""
    DELIVERY_NOT_FOUND = "DELIVERY_NOT_FOUND"
    """404: no such delivery, or not the caller's"""
    DELIVERY_UNDER_WAY = "DELIVERY_UNDER_WAY"
    """409: this delivery is being attempted right now"""
    DELIVERIES_BUSY = "DELIVERIES_BUSY"
    """429: as many subscribers are being called as `WEBHOOK_CONCURRENCY` allows; Cloud Tasks comes again"""
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    """503: Cloud Storage did not do what was asked"""
    TASKS_UNAVAILABLE = "TASKS_UNAVAILABLE"
    """503: Cloud Tasks took no task; never answered, only logged: the sweeper helps"""


FORMER_REASONS: dict[str, str] = dict.fromkeys(RequestReason, "REQUEST_INVALID")
"""What bad requests were answered with in the release before; told as `former_reason` until the next one."""


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


def report_has_no_workbook(request_id: str, left_out: str | None) -> ApiError:
    """Return a 404: the report has no output.xlsx, for the limit that `left_out` tells or because none was made."""
    why = left_out or f"The sheet of batch {request_id} did not come as an Excel workbook."
    message = f"{why} Download output.csv instead."
    return not_found(Reason.REPORT_HAS_NO_WORKBOOK, message, request_id=request_id)


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


def image_link_expired() -> ApiError:
    """Return a 403: the link was good once; ingest's `/status` shows a new one."""
    return ApiError(
        Status.PERMISSION_DENIED, Reason.IMAGE_LINK_EXPIRED, "The image's link has expired; ask /status for a new one."
    )


def image_link_invalid() -> ApiError:
    """Return a 403: the signature is missing, was changed, or belongs to another image."""
    return ApiError(Status.PERMISSION_DENIED, Reason.IMAGE_LINK_INVALID, "The signature of the image's link is wrong.")


def image_not_found() -> ApiError:
    """Return a 404: the link is good, but the image was deleted."""
    return not_found(Reason.IMAGE_NOT_FOUND, "The image is not there any more.")


def status_is_no_event(status: str) -> ApiError:
    """Return a 400: no event belongs to this status."""
    return invalid_argument(
        Reason.STATUS_IS_NO_EVENT, f"No event belongs to the status {status}; nobody is told.", status=status
    )


def endpoint_not_found(endpoint_id: str) -> ApiError:
    """Return a 404: no such endpoint, deleted, or not the caller's."""
    return not_found(Reason.ENDPOINT_NOT_FOUND, f"There is no webhook endpoint {endpoint_id}.")


def endpoint_url_refused(fault: str, detail: str) -> ApiError:
    """Return a 400: events would never be sent to this URL.

    Args:
        fault: an egress fault, e.g. URL_FORBIDDEN.
        detail: what is wrong; never an address.
    """
    return ApiError(
        Status.INVALID_ARGUMENT,
        Reason.ENDPOINT_URL_REFUSED,
        f"The URL cannot be a webhook endpoint: {detail}.",
        metadata={"fault": fault},
        violations=[FieldViolation("url", detail, fault)],
    )


def endpoint_disabled(endpoint_id: str, disabled_reason: str) -> ApiError:
    """Return a 400 FAILED_PRECONDITION: nothing is sent to a disabled endpoint."""
    return failed_precondition(
        Reason.ENDPOINT_DISABLED,
        f"Webhook endpoint {endpoint_id} is disabled ({disabled_reason}); enable it first.",
        disabled_reason=disabled_reason,
    )


def endpoint_limit(limit: int, count: int) -> ApiError:
    """Return a 400 FAILED_PRECONDITION: there are as many endpoints as there may be."""
    return failed_precondition(
        Reason.ENDPOINT_LIMIT,
        f"An owner may have {limit} webhook endpoints and has {count}; delete one first.",
        **over_limit_facts("webhook_max_endpoints", limit=limit, value=1, use=count),
    )


def secret_limit(limit: int, count: int) -> ApiError:
    """Return a 400 FAILED_PRECONDITION: too many replaced secrets still sign."""
    return failed_precondition(
        Reason.SECRET_LIMIT,
        f"An endpoint may have {limit} secrets at once and this one has {count}; wait until the oldest has expired,"
        " or end them all with an overlap_s of 0.",
        **over_limit_facts("max_secrets", limit=limit, value=1, use=count),
    )


def delivery_not_found(delivery_id: str) -> ApiError:
    """Return a 404: no such delivery."""
    return not_found(Reason.DELIVERY_NOT_FOUND, f"There is no delivery {delivery_id}.")


def delivery_under_way(delivery_id: str) -> ApiError:
    """Return a 409: an attempt of this delivery is being made right now."""
    return aborted(Reason.DELIVERY_UNDER_WAY, f"Delivery {delivery_id} is being attempted right now.")


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
