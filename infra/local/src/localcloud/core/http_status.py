"""What an HTTP answer means to Cloud Tasks: success, google.rpc status, Retry-After."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

UNKNOWN = 2
DEADLINE_EXCEEDED = 4
UNAVAILABLE = 14
MAX_RETRY_AFTER_S = 86_400.0
"""Longest wait that a target may ask for (assumed): else one odd answer could outlast the retention of its task."""
THROTTLING_CODES = frozenset({429, 503})

_NAMES = {
    0: "OK",
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    16: "UNAUTHENTICATED",
}
_RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 499: 1, 501: 12, 503: 14, 504: 4}


def is_success(http_code: int) -> bool:
    """Tell whether the handler accepted the task: 2xx and nothing else."""
    return 200 <= http_code < 300


def rpc_code_from_http(http_code: int) -> int:
    """Return the google.rpc code of an HTTP status.

    Source: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto (its "HTTP Mapping" lines)
    """
    if is_success(http_code):
        return 0
    if http_code in _RPC_CODES:
        return _RPC_CODES[http_code]
    if 400 <= http_code < 500:
        return 9
    return 13 if http_code >= 500 else UNKNOWN


def rpc_name(rpc_code: int) -> str:
    """Return e.g. `"NOT_FOUND"` for 5."""
    return _NAMES[rpc_code]


def status_message(http_code: int) -> str:
    """Return the text of `lastAttempt.responseStatus.message` (wording assumed)."""
    code = rpc_code_from_http(http_code)
    return f"{rpc_name(code)}({code}): HTTP status code {http_code}"


def retry_after_s(value: str | None, now: float) -> float | None:
    """Return the seconds a Retry-After header asks for, at most a day, None when it is missing or unreadable.

    Source: RFC 9110 section 10.2.3: delay-seconds or an HTTP-date.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now), MAX_RETRY_AFTER_S)
    except (ValueError, TypeError, OverflowError):
        return None
