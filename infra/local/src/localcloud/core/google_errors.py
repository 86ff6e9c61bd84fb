"""Google API errors by name, each with its HTTP and gRPC code.

Source: https://google.aip.dev/193 and google/rpc/code.proto.
"""

from __future__ import annotations

from typing import Any

_CODES: dict[str, tuple[int, int]] = {
    # status name -> (HTTP code, google.rpc code)
    "CANCELLED": (499, 1),
    "UNKNOWN": (500, 2),
    "INVALID_ARGUMENT": (400, 3),
    "DEADLINE_EXCEEDED": (504, 4),
    "NOT_FOUND": (404, 5),
    "ALREADY_EXISTS": (409, 6),
    "PERMISSION_DENIED": (403, 7),
    "RESOURCE_EXHAUSTED": (429, 8),
    "FAILED_PRECONDITION": (400, 9),
    "ABORTED": (409, 10),
    "OUT_OF_RANGE": (400, 11),
    "UNIMPLEMENTED": (501, 12),
    "INTERNAL": (500, 13),
    "UNAVAILABLE": (503, 14),
    "UNAUTHENTICATED": (401, 16),
}

_BAD_GATEWAY = 502
_TYPES = "type.googleapis.com/google.rpc."


class GoogleError(Exception):
    """An API error that REST answers as AIP-193 JSON and gRPC as a status."""

    def __init__(
        self,
        status: str,
        message: str,
        *,
        reason: str | None = None,
        http_code: int | None = None,
        help_link: tuple[str, str] | None = None,
    ) -> None:
        """Make an error.

        Args:
            status: name of a google.rpc code.
            message: what went wrong.
            reason: UPPER_SNAKE, of an error of localcloud's own.
            http_code: departs from the code of `status`, for codes that no status has, such as 502.
            help_link: description and URL of a page, which some errors of Google's have as their detail.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.details: list[dict[str, Any]] = []
        """In JSON, each with its `@type`."""
        if reason is not None:
            self.details.append({"@type": f"{_TYPES}ErrorInfo", "reason": reason, "domain": "localcloud"})
        if help_link is not None:
            description, url = help_link
            self.details.append({"@type": f"{_TYPES}Help", "links": [{"description": description, "url": url}]})
        usual_http_code, self.grpc_code = _CODES[status]
        self.http_code = usual_http_code if http_code is None else http_code

    def to_json(self) -> dict[str, Any]:
        """Return the AIP-193 body: `{"error": {"code": 404, "message": "...", "status": "NOT_FOUND"}}`."""
        error: dict[str, Any] = {"code": self.http_code, "message": self.message, "status": self.status}
        if self.details:
            error["details"] = self.details
        return {"error": error}


def status_of_http_code(http_code: int) -> str:
    """Return the status name that goes with an HTTP code; codes without one are UNKNOWN, 502 is UNAVAILABLE.

    Source: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md for 502.
    """
    if http_code == _BAD_GATEWAY:
        return "UNAVAILABLE"
    known = (status for status, (code, _) in _CODES.items() if code == http_code and status != "UNKNOWN")
    return next(known, "UNKNOWN")


def invalid_argument(message: str) -> GoogleError:
    """Return a 400 INVALID_ARGUMENT error."""
    return GoogleError("INVALID_ARGUMENT", message)


def failed_precondition(message: str) -> GoogleError:
    """Return a 400 FAILED_PRECONDITION error."""
    return GoogleError("FAILED_PRECONDITION", message)


def not_found(message: str) -> GoogleError:
    """Return a 404 NOT_FOUND error."""
    return GoogleError("NOT_FOUND", message)


def already_exists(message: str) -> GoogleError:
    """Return a 409 ALREADY_EXISTS error."""
    return GoogleError("ALREADY_EXISTS", message)


def resource_exhausted(message: str) -> GoogleError:
    """Return a 429 RESOURCE_EXHAUSTED error."""
    return GoogleError("RESOURCE_EXHAUSTED", message)


def unimplemented(message: str) -> GoogleError:
    """Return a 501 UNIMPLEMENTED error: what localcloud does not emulate is refused, never faked."""
    return GoogleError("UNIMPLEMENTED", message)


def unavailable(message: str) -> GoogleError:
    """Return a 503 UNAVAILABLE error."""
    return GoogleError("UNAVAILABLE", message)
