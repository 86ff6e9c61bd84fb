"""Where control goes after a step, as values: neither exceptions nor strings."""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.workflows.values import Value


@dataclass(frozen=True, slots=True)
class Proceed:
    """Go on with the following step."""


@dataclass(frozen=True, slots=True)
class JumpTo:
    """Go on with the step `target`, in this block or one around it."""

    target: str


@dataclass(frozen=True, slots=True)
class ReturnValue:
    """Leave the routine with a value."""

    value: Value


@dataclass(frozen=True, slots=True)
class EndRoutine:
    """Leave the routine without a value."""


@dataclass(frozen=True, slots=True)
class BreakLoop:
    """Go on after the innermost loop."""


@dataclass(frozen=True, slots=True)
class ContinueLoop:
    """Go on with the next iteration of the innermost loop."""


Flow = Proceed | JumpTo | ReturnValue | EndRoutine | BreakLoop | ContinueLoop

PROCEED = Proceed()
END_ROUTINE = EndRoutine()
BREAK_LOOP = BreakLoop()
CONTINUE_LOOP = ContinueLoop()
