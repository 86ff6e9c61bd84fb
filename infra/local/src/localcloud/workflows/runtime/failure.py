"""How an execution fails: the payload, context and stack trace that `Execution.error` reports.

Does not know about: steps, and the API resource the three fields end up in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.workflows.errors import StackFrame, WorkflowError
from localcloud.workflows.jsontext import encode_json_leniently

_BRANCH_HEADLINE = 'RuntimeError: "branch error"'


class ExecutionFailedError(Exception):
    """An execution ended with an error that no `except` caught.

    `payload` is JSON text (compact, keys sorted) of the raised value; `context` is the message followed by one line per
    frame; `stack_trace` has the innermost frame first and is empty when a resource limit was hit.
    """

    def __init__(self, payload: str, context: str, stack_trace: Sequence[StackFrame]) -> None:
        super().__init__(context)
        self.payload = payload
        self.context = context
        self.stack_trace = list(stack_trace)


def failure_payload(error: WorkflowError) -> str:
    """Return the raised value as JSON text."""
    return encode_json_leniently(error.value)


def failure_context(error: WorkflowError) -> str:
    """Return the headline and one line per frame, innermost first.

    Example: `KeyError: key not found: k` and, on the next line, `in step "s", routine "main", line: 4`.
    """
    frames = (f'in step "{frame.step}", routine "{frame.routine}", line: {frame.line}' for frame in error.frames)
    return "\n".join([_headline(error), *frames])


def branch_failure(error: WorkflowError) -> dict[str, Any]:
    """Return what an UnhandledBranchError tells of the error that left a branch or iteration.

    Recorded: a map is told as it is, any other value as JSON text; the context of an error that no `raise` made begins
    with the same line, whatever it was.
    """
    context = failure_context(error)
    if not error.from_raise and isinstance(error.value, dict):
        _, separator, frames = context.partition("\n")
        context = f"{_BRANCH_HEADLINE}{separator}{frames}"
    payload = error.value if isinstance(error.value, dict) else failure_payload(error)
    return {"context": context, "payload": payload}


def execution_failure(error: WorkflowError) -> ExecutionFailedError:
    """Return what the execution reports when `error` left `main`."""
    # Recorded: an exhausted resource limit comes with an empty stack trace.
    trace = error.frames if error.catchable else []
    return ExecutionFailedError(failure_payload(error), failure_context(error), trace)


def _headline(error: WorkflowError) -> str:
    match error.value:
        case {"message": str(message)} if not error.from_raise:
            return message
        case value:
            return f"RuntimeError: {encode_json_leniently(value)}"
