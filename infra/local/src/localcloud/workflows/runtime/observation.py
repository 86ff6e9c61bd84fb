"""Tells the host's observer when steps and their parts begin and end, under the API's names of step types.

Source: https://cloud.google.com/workflows/docs/reference/executions/rest/v1/projects.locations.workflows.executions.stepEntries
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.runtime.host import Progress
from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.source.steps import (
    Assign,
    Call,
    Callee,
    ConnectorCallee,
    For,
    FunctionCallee,
    Group,
    Parallel,
    Raise,
    Return,
    RoutineCallee,
    Step,
    Switch,
    Try,
)

ITERATION = "STEP_FOR_ITERATION"
PARALLEL_ITERATION = "STEP_FOR_ITERATION"
BRANCH = "STEP_PARALLEL_BRANCH_ENTRY"
CONDITION = "STEP_CONDITION"
TRY = "STEP_TRY"
RETRY = "STEP_RETRY"
EXCEPT = "STEP_EXCEPT"

FOR_PROGRESS = "PROGRESS_TYPE_FOR"
SWITCH_PROGRESS = "PROGRESS_TYPE_SWITCH"
RETRY_PROGRESS = "PROGRESS_TYPE_RETRY"
PARALLEL_FOR_PROGRESS = "PROGRESS_TYPE_PARALLEL_FOR"
PARALLEL_BRANCH_PROGRESS = "PROGRESS_TYPE_PARALLEL_BRANCH"


def step_type(step: Step) -> str | None:
    """Return the API's type of a step, or None for a group, which has no entry of its own."""
    match step.action:
        case Assign():
            return "STEP_ASSIGN"
        case Call(callee=callee):
            return _call_type(callee)
        case Switch():
            return "STEP_SWITCH"
        case For():
            return "STEP_FOR"
        case Parallel(work=For()):
            return "STEP_PARALLEL_FOR"
        case Parallel():
            return "STEP_PARALLEL_BRANCH"
        case Try():
            return "STEP_TRY_RETRY_EXCEPT"
        case Group():
            return None
        case None:
            return _ending_type(step)


def _call_type(callee: Callee) -> str:
    match callee:
        case FunctionCallee():
            return "STEP_STD_LIB_CALL"
        case RoutineCallee():
            return "STEP_SUBWORKFLOW_CALL"
        case ConnectorCallee():
            return "STEP_CONNECTOR_CALL"


def _ending_type(step: Step) -> str:
    match step.ending:
        case Return():
            return "STEP_RETURN"
        case Raise():
            return "STEP_RAISE"
        case _:
            return "STEP_GOTO"


_UNOBSERVED: AbstractContextManager[None] = nullcontext()


def observed(
    step: Step, kind: str | None, scope: Scope, progress: Progress | None = None, line: int | None = None
) -> AbstractContextManager[None]:
    """Return a context that reports what runs inside as one entry of type `kind`, or nothing when it is None.

    `scope` holds the variables that the entry shows, if the observer records them; `line` is where a part of the
    step stands, if not at its head.
    """
    return _UNOBSERVED if kind is None else _Observed(step, kind, scope, progress, line)


class _Observed:
    """One entry; a class, as generators cost a microsecond more and every step has one."""

    __slots__ = ("_entry", "_observer", "_scope")

    def __init__(self, step: Step, kind: str, scope: Scope, progress: Progress | None, line: int | None) -> None:
        activation = scope.activation
        self._observer = observer = activation.run.host.observer
        self._scope = scope if observer.records_variables else None
        self._entry = observer.step_started(
            routine=activation.routine,
            step=step.name,
            step_type=kind,
            line=step.position.line if line is None else line,
            thread=activation.thread,
            progress=progress,
            variables=None if self._scope is None else scope.visible(),
        )

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._scope is None:
            self._observer.step_ended(self._entry, failed=False)
            return
        self._observer.step_ended(
            self._entry,
            failed=kind is not None,
            error=error if isinstance(error, WorkflowError) else None,
            variables=None if self._scope is None else self._scope.visible(),
        )
