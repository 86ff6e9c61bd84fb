"""`retry` and the retry predicates of `http`: which errors a policy retries, how often and how fast.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/retry, .../http/default_retry and its neighbours.
The figures of `retry.default_backoff` are assumed.
"""

from __future__ import annotations

from localcloud.workflows.functions.signatures import Backoff, Function, PureFunction, RetryPolicy, parameters
from localcloud.workflows.values import Value

DEFAULT_BACKOFF = Backoff(initial_delay=1.0, max_delay=60.0, multiplier=1.25)
DEFAULT_MAX_RETRIES = 5

_IDEMPOTENT_CODES = frozenset({429, 502, 503, 504})
_IDEMPOTENT_TAGS = frozenset({"ConnectionError", "ConnectionFailedError", "TimeoutError"})
_NON_IDEMPOTENT_CODES = frozenset({429, 503})
_NON_IDEMPOTENT_TAGS = frozenset({"ConnectionFailedError"})


def _always(_error: Value) -> bool:
    return True


def _never(_error: Value) -> bool:
    return False


def is_retryable(error: Value) -> bool:
    """Return whether `http.default_retry` retries the raised value."""
    return _matches(error, _IDEMPOTENT_CODES, _IDEMPOTENT_TAGS)


def is_retryable_non_idempotent(error: Value) -> bool:
    """Return whether `http.default_retry_non_idempotent` retries the raised value."""
    return _matches(error, _NON_IDEMPOTENT_CODES, _NON_IDEMPOTENT_TAGS)


def _matches(error: Value, codes: frozenset[int], tags: frozenset[str]) -> bool:
    match error:
        case {"tags": list() as found, "code": int() as code} if "HttpError" in found:
            return code in codes
        case {"tags": list() as found}:
            return any(type(tag) is str and tag in tags for tag in found)
        case _:
            return False


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("retry.always", parameters("exception"), _always),
    PureFunction("retry.never", parameters("exception"), _never),
    PureFunction("http.default_retry_predicate", parameters("exception"), is_retryable),
    PureFunction("http.default_retry_predicate_non_idempotent", parameters("exception"), is_retryable_non_idempotent),
)

BACKOFFS = {"retry.default_backoff": DEFAULT_BACKOFF}

POLICIES = {
    "http.default_retry": RetryPolicy("http.default_retry_predicate", DEFAULT_MAX_RETRIES, DEFAULT_BACKOFF),
    "http.default_retry_non_idempotent": RetryPolicy(
        "http.default_retry_predicate_non_idempotent", DEFAULT_MAX_RETRIES, DEFAULT_BACKOFF
    ),
}
