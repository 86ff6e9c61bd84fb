"""How an execution fails: the payload, context and stack trace that `Execution.error` reports.

Does not know about: steps, and the API resource the three fields end up in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StackFrame:
    """One element of `Execution.error.stackTrace`: a step and where it stands; line and column 1-based, length in bytes."""

    step: str
    routine: str
    line: int
    column: int
    length: int


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
