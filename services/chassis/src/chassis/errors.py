"""The one error form of every service: AIP-193 JSON with an UPPER_SNAKE reason.

Source: https://google.aip.dev/193. Cloud Workflows decodes only `application/json`, so a workflow step can test
`e.body.error.status`; that is why this and not RFC 9457. The status is also a promise about retrying: 429, 503 and
504 mean "again later", 4xx means "never".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The canonical error codes (google.rpc.Code) that the services answer."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    ABORTED = "ABORTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"


HTTP_CODES: Mapping[Status, int] = {
    Status.INVALID_ARGUMENT: 400,
    Status.UNAUTHENTICATED: 401,
    Status.PERMISSION_DENIED: 403,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.ABORTED: 409,
    Status.FAILED_PRECONDITION: 400,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DEADLINE_EXCEEDED: 504,
}


class RequestReason(StrEnum):
    """Why a request cannot be read; the same in every service."""

    FIELD_INVALID = "FIELD_INVALID"
    """400: a field or parameter is missing, malformed, unknown or given twice; `fieldViolations` has all of them"""
    JSON_INVALID = "JSON_INVALID"
    """400: the body is no JSON object"""
    REQUEST_ID_INVALID = "REQUEST_ID_INVALID"
    """400: an id in the path or query is no UUID"""


class SharedReason(StrEnum):
    """What any service may answer besides its own reasons, each with its status and meaning below it."""

    BAD_REQUEST = "BAD_REQUEST"
    """400: the server cannot make a request of it"""
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # noqa: S105 - a reason
    """400: not a token that this list, with these parameters, has given"""
    API_KEY_MISSING = "API_KEY_MISSING"
    """401: the route needs an API key"""
    API_KEY_INVALID = "API_KEY_INVALID"
    """401: the API key is malformed, unknown or taken back"""
    API_KEY_EXPIRED = "API_KEY_EXPIRED"
    """401: the API key was good once"""
    TOKEN_MISSING = "TOKEN_MISSING"  # noqa: S105 - a reason
    """401: an internal route needs the OIDC token of a service account"""
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 - a reason
    """401: the token is malformed, expired, forged or for another service"""
    SCOPE_MISSING = "SCOPE_MISSING"
    """403: the API key may not do this"""
    CALLER_NOT_ALLOWED = "CALLER_NOT_ALLOWED"
    """403: the service account may not call this route"""
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    """404: there is no such route"""
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    """405: the route has other methods"""
    BODY_TIMEOUT = "BODY_TIMEOUT"
    """408: the body came too slowly"""
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    """413: the body has more bytes, a form more parts, than the route reads"""
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    """415: the body is of a type that the route does not read"""
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    """429: the API key, or the address, has made as many requests as it may in a minute"""
    INTERNAL = "INTERNAL"
    """500: a fault of ours; the message has the id under which it is in the logs"""
    CERTIFICATES_UNAVAILABLE = "CERTIFICATES_UNAVAILABLE"
    """503: the issuer's certificates cannot be fetched, so no token can be checked"""
    DATABASE_BUSY = "DATABASE_BUSY"
    """503: no connection, or no answer of the database, in time"""
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    """503: the database cannot be reached"""
    IDENTITY_UNAVAILABLE = "IDENTITY_UNAVAILABLE"
    """503: the service cannot get a token of its own for a call"""
    PEER_UNAVAILABLE = "PEER_UNAVAILABLE"
    """503: another of our services cannot be reached or is in trouble"""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One bad field of a request: its name, what is wrong, and an UPPER_SNAKE reason."""

    field: str
    description: str
    reason: str = "INVALID_VALUE"


class ApiError(Exception):
    """An error made for the caller.

    Args:
        status: the canonical code; decides the HTTP code.
        reason: UPPER_SNAKE, the only part programs may switch on; documented per service.
        message: one English sentence that names the place and the limit.
        metadata: further facts as strings, e.g. `{"limit": "50000", "value": "50001"}`.
        violations: bad fields, answered as google.rpc.BadRequest.
        retry_after_s: seconds, answered as `Retry-After` and google.rpc.RetryInfo.
        http_code: an HTTP code more exact than the status has (413, 405, 415).
        extra_details: further AIP-193 detail objects; each needs an `@type`.
    """

    def __init__(
        self,
        status: Status,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after_s: int | None = None,
        http_code: int | None = None,
        extra_details: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.http_code = http_code or HTTP_CODES[status]
        self.extra_details = tuple(extra_details)

    def to_json(self, *, domain: str, request_id: str) -> dict[str, Any]:
        """Return the AIP-193 body; `domain` is the service, `request_id` that of the HTTP request."""
        details: list[dict[str, Any]] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": self.reason,
                "domain": domain,
                "metadata": self.metadata,
            },
            {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id},
        ]
        if self.violations:
            details.append(
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [
                        {"field": v.field, "description": v.description, "reason": v.reason} for v in self.violations
                    ],
                }
            )
        if self.retry_after_s is not None:
            details.append(
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{self.retry_after_s}s"}
            )
        details.extend(dict(detail) for detail in self.extra_details)
        return {
            "error": {
                "code": self.http_code,
                "status": self.status.value,
                "message": self.message,
                "details": details,
            }
        }


def invalid_argument(reason: str, message: str, **metadata: str) -> ApiError:
    """Return a 400: the caller's fault, will never work unchanged."""
    return ApiError(Status.INVALID_ARGUMENT, reason, message, metadata=metadata)


def field_invalid(violations: Sequence[FieldViolation], message: str = "") -> ApiError:
    """Return the 400 FIELD_INVALID of bad fields or parameters; without a message, the first of them is told."""
    told = message or f"Field {violations[0].field!r}: {violations[0].description}."
    return ApiError(Status.INVALID_ARGUMENT, RequestReason.FIELD_INVALID, told, violations=violations)


def not_found(reason: str, message: str, **metadata: str) -> ApiError:
    """Return a 404: unknown, or not the caller's."""
    return ApiError(Status.NOT_FOUND, reason, message, metadata=metadata)


def failed_precondition(reason: str, message: str, **metadata: str) -> ApiError:
    """Return a 400 FAILED_PRECONDITION: right request, wrong state."""
    return ApiError(Status.FAILED_PRECONDITION, reason, message, metadata=metadata)


def aborted(reason: str, message: str, **metadata: str) -> ApiError:
    """Return a 409: another party owns the thing or changed it first."""
    return ApiError(Status.ABORTED, reason, message, metadata=metadata)


def unavailable(reason: str, message: str, *, retry_after_s: int = 5) -> ApiError:
    """Return a 503 with Retry-After: a dependency is down; nothing was changed or the change is safe to repeat."""
    return ApiError(Status.UNAVAILABLE, reason, message, retry_after_s=retry_after_s)


def payload_too_large(reason: str, message: str, **metadata: str) -> ApiError:
    """Return a 413: the body is over a limit that the message names."""
    return ApiError(Status.INVALID_ARGUMENT, reason, message, metadata=metadata, http_code=413)
