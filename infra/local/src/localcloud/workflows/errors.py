"""The workflow's own failures: raised values with tags, and where in the source they came from.

A `WorkflowError` is what `except` may catch. Every other exception is a bug of this program and must never be made
into one. Does not know about: steps, retry, the API resource a failed execution becomes.

Source of tags and messages: https://cloud.google.com/workflows/docs/reference/syntax/error-types (messages that the
page does not give follow the shape of the recorded ones and are listed as assumed in the fidelity table).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Position:
    """A position in the source: `line` and `column` are 1-based, `length` is in bytes."""

    line: int
    column: int
    length: int


@dataclass(frozen=True, slots=True)
class StackFrame:
    """One element of `Execution.error.stackTrace`; line and column 1-based, length in bytes."""

    step: str
    routine: str
    line: int
    column: int
    length: int


class WorkflowError(Exception):
    """A value raised inside a workflow: usually a map with `message` and `tags`, but any JSON value can be raised.

    `catchable` is False for exhausted resource limits, which end the execution at once. `from_raise` marks values of a
    `raise` step, whose context line reads `RuntimeError: <JSON>`. `position` is the failing expression's until
    a stack frame took it over; `frames` collects the trace, innermost first.
    """

    def __init__(self, value: Any, *, catchable: bool = True, from_raise: bool = False) -> None:
        super().__init__(value)
        self.value = value
        self.catchable = catchable
        self.from_raise = from_raise
        self.position: Position | None = None
        self.frames: list[StackFrame] = []
        self.activation: object = None
        """The routine activation that added the newest frame: nested steps of one routine add only one."""

    @property
    def tags(self) -> Sequence[Any]:
        """Return the error's tags; raised values without a list of tags have none."""
        match self.value:
            case {"tags": list() as tags}:
                return tags
            case _:
                return ()


def _tagged(message: str, *tags: str) -> WorkflowError:
    return WorkflowError({"message": message, "tags": list(tags)})


def key_error(key: str) -> WorkflowError:
    """Return the error of a map lookup that found nothing (recorded text and tags)."""
    return _tagged(f"KeyError: key not found: {key}", "KeyError", "LookupError")


def index_error() -> WorkflowError:
    """Return the error of a list index outside the list."""
    return _tagged("IndexError: Index out of range", "IndexError", "LookupError")


def type_error(message: str) -> WorkflowError:
    """Return a TypeError; `message` comes without the tag's name."""
    return _tagged(f"TypeError: {message}", "TypeError")


def membership_type_error(got: str) -> WorkflowError:
    """Return the error of `in` with a right side that holds nothing (recorded: this text has no prefix)."""
    return _tagged(f"The argument of 'in' must be a dict or an array; got: {got}", "TypeError")


def value_error(message: str) -> WorkflowError:
    """Return a ValueError: right type, unusable value."""
    return _tagged(f"ValueError: {message}", "ValueError")


def zero_division_error() -> WorkflowError:
    """Return the error of `/`, `//` or `%` with a zero on the right."""
    return _tagged("ZeroDivisionError: division by zero", "ZeroDivisionError")


def recursion_error(limit: int) -> WorkflowError:
    """Return the error of a call stack deeper than `limit`."""
    return _tagged(f"RecursionError: maximum call stack depth exceeded: {limit}", "RecursionError")


def parallel_nesting_error(limit: int) -> WorkflowError:
    """Return the error of parallel steps nested deeper than `limit`."""
    return _tagged(
        f"ParallelNestingError: parallel steps nested deeper than the limit of {limit}", "ParallelNestingError"
    )


def timeout_error(message: str) -> WorkflowError:
    """Return the error of a system function that ran out of time."""
    return _tagged(f"TimeoutError: {message}", "TimeoutError")


def connection_error(message: str) -> WorkflowError:
    """Return the error of a connection that broke after it was made."""
    return _tagged(f"ConnectionError: {message}", "ConnectionError")


def connection_failed_error(message: str) -> WorkflowError:
    """Return the error of a connection that could not be made."""
    return _tagged(f"ConnectionFailedError: {message}", "ConnectionFailedError")


def response_type_error(message: str) -> WorkflowError:
    """Return the error of an API's answer in which a connector does not find what it needs."""
    return _tagged(f"ResponseTypeError: {message}", "ResponseTypeError")


def auth_error(message: str) -> WorkflowError:
    """Return the error of credentials that could not be generated."""
    return _tagged(f"AuthError: {message}", "AuthError")


def http_error(code: int, headers: Mapping[str, str], body: Any) -> WorkflowError:
    """Return the error of an HTTP status of 400 or above, with the decoded answer."""
    return WorkflowError(
        {
            "body": body,
            "code": code,
            "headers": dict(headers),
            "message": f"HTTP server responded with error code {code}",
            "tags": ["HttpError"],
        }
    )


def resource_limit_error(message: str) -> WorkflowError:
    """Return the uncatchable error of an exhausted limit, e.g. `Memory usage limit exceeded`."""
    return WorkflowError({"message": f"ResourceLimitError: {message}", "tags": ["ResourceLimitError"]}, catchable=False)


_UNHANDLED = "One or more branches or iterations encountered an unhandled runtime error"


def unhandled_branch_error(
    branches: list[dict[str, Any]], inner_tags: Sequence[str], *, truncated: bool
) -> WorkflowError:
    """Return the error of a parallel step in which branches or iterations failed.

    Args:
        branches: `{"id": "3", "error": {"context": "...", "payload": ...}}` for every failed one.
        inner_tags: tags of the branches' errors, without repetition.
        truncated: whether more failed than `branches` holds.
    """
    return WorkflowError(
        {
            "branches": branches,
            "message": "UnhandledBranchError: " + _UNHANDLED,
            "tags": list(dict.fromkeys(("UnhandledBranchError", *inner_tags))),
            "truncated": truncated,
        }
    )
