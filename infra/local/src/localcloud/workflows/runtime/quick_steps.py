"""Steps that never wait, as functions: an `assign` whose expressions call no subworkflow, without an ending.

A step through coroutines costs three of them; most steps of a long loop are assignments, so each block keeps what its
steps were made into. Entries, counts, positions and frames are those of the interpreter's way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localcloud.workflows.errors import Position as SourcePosition
from localcloud.workflows.errors import StackFrame, WorkflowError
from localcloud.workflows.expr.evaluator import RunNow
from localcloud.workflows.runtime.observation import step_type
from localcloud.workflows.runtime.run import Activation
from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.source.steps import Assign, Block, Step

QuickStep = Callable[[Scope], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The steps of a block as functions, None for those that may wait or jump; `is_whole` when no step does."""

    steps: tuple[QuickStep | None, ...]
    is_whole: bool


def prepared(block: Block) -> Prepared:
    """Return what the steps of a block were made into, the first time they are asked for."""
    if not block.prepared:
        steps = tuple(_quick(step) for step in block.steps)
        block.prepared.append(Prepared(steps, all(step is not None for step in steps)))
    found: Prepared = block.prepared[0]
    return found


def add_frame(error: WorkflowError, step: Step, activation: Activation, position: SourcePosition) -> None:
    """Add this step to the trace, unless an inner step of the same activation did."""
    if error.activation is activation:
        return
    at = error.position or position
    error.frames.append(StackFrame(step.name, activation.routine, at.line, at.column, at.length))
    error.activation = activation
    error.position = None


def _quick(step: Step) -> QuickStep | None:
    if not isinstance(step.action, Assign) or step.ending is not None:
        return None
    assignments: list[tuple[RunNow, str, Sequence[RunNow], SourcePosition]] = []
    for each in step.action.assignments:
        path = [part.now for part in each.target.path if part.now is not None]
        if each.value.now is None or len(path) < len(each.target.path):
            return None
        assignments.append((each.value.now, each.target.name, path, each.position))
    kind = step_type(step)
    return None if kind is None else _assigning(step, kind, assignments)


def _assigning(
    step: Step, kind: str, assignments: Sequence[tuple[RunNow, str, Sequence[RunNow], SourcePosition]]
) -> QuickStep:
    name, line = step.name, step.position.line

    def assign(scope: Scope) -> None:
        scope.count_step()
        for run, target, path, position in assignments:
            # The value is complete before the target's indices, and both before the store: one entry is atomic.
            value = run(scope)
            try:
                if path:
                    scope.store_element(target, [part(scope) for part in path], value)
                else:
                    scope.store(target, value)
            except WorkflowError as error:
                error.position = error.position or position
                raise

    def run_step(scope: Scope) -> None:
        activation = scope.activation
        observer = activation.run.host.observer
        records = observer.records_variables
        entry = observer.step_started(
            routine=activation.routine,
            step=name,
            step_type=kind,
            line=line,
            thread=activation.thread,
            variables=scope.visible() if records else None,
        )
        try:
            assign(scope)
        except BaseException as error:
            known = error if isinstance(error, WorkflowError) else None
            if known is not None:
                add_frame(known, step, activation, step.position)
            observer.step_ended(entry, failed=True, error=known, variables=scope.visible() if records else None)
            raise
        if records:
            observer.step_ended(entry, failed=False, variables=scope.visible())
        else:
            observer.step_ended(entry, failed=False)

    return run_step
