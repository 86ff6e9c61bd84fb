"""What can go wrong, by what a caller can do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pressroom.answers import Problem, parse_list


class PressroomError(Exception):
    """Base of all errors of this package."""


class UnreachableError(PressroomError):
    """The service could not be reached, or did not answer in time, however often it was asked."""


class UnexpectedAnswerError(PressroomError):
    """The answer is not one of Pressroom: the URL leads elsewhere, or to another version."""


class ApiError(PressroomError):
    """The service refused a request.

    Attributes:
        code: HTTP status.
        reason: machine-readable, UPPER_SNAKE, e.g. BATCH_NOT_FOUND; empty when the answer has none.
        message: for people.
        details: as AIP-193 has them.
        request_id: to quote to whoever runs the service.
    """

    def __init__(self, code: int, message: str, details: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.reason = _found(details, "ErrorInfo", "reason")
        self.request_id = _found(details, "RequestInfo", "requestId")


class NotAllowedError(ApiError):
    """The API key is missing, unknown, over, or may not do this: HTTP 401 or 403."""


class SheetInvalidError(ApiError):
    """The sheet cannot be worked on; `problems` lists what is wrong with it, of very many the first."""

    @property
    def problems(self) -> list[Problem]:
        """Return the problems with row and column."""
        listed: list[Any] = next((detail["problems"] for detail in self.details if "problems" in detail), [])
        return parse_list(Problem, listed)


def error_of(code: int, body: Any) -> ApiError:
    """Return the error of an answer with status 400 or more; `body` is its JSON, or None."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        kind = NotAllowedError if code in {401, 403} else ApiError
        return kind(code, f"The service answered {code}.")
    message, details = str(error.get("message", "")), error.get("details", ())
    if _found(details, "ErrorInfo", "reason") == "SHEET_INVALID":
        return SheetInvalidError(code, message, details)
    return (NotAllowedError if code in {401, 403} else ApiError)(code, message, details)


def _found(details: Sequence[Mapping[str, Any]], kind: str, name: str) -> str:
    return next((str(one.get(name, "")) for one in details if str(one.get("@type", "")).endswith(kind)), "")
