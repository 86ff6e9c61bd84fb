"""Runs a checked program to its result."""

from __future__ import annotations

from localcloud.workflows.runtime.failure import ExecutionFailedError, StackFrame
from localcloud.workflows.runtime.host import Host, Value
from localcloud.workflows.source.program import Program

__all__ = ["ExecutionFailedError", "StackFrame", "run_program"]


async def run_program(program: Program, argument: Value, host: Host) -> Value:
    """Run `main` with `argument` and return its result.

    Raises:
        ExecutionFailedError: an error left `main` uncaught.
        asyncio.CancelledError: the execution was cancelled.
    """
    raise ExecutionFailedError('"the interpreter is not there yet"', "the interpreter is not there yet", [])
