"""Tells the host's observer when steps and their parts begin and end, under the API's names of step types.

Source: https://cloud.google.com/workflows/docs/reference/executions/rest/v1/projects.locations.workflows.executions.stepEntries
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
TRY = "STEP_TRY"
RETRY = "STEP_RETRY"
EXCEPT = "STEP_EXCEPT"

FOR_PROGRESS = "PROGRESS_TYPE_FOR"
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


@contextmanager
def observed(step: Step, kind: str | None, scope: Scope, progress: Progress | None = None) -> Iterator[None]:
    """Report what runs inside as one entry of type `kind`; report nothing when it is None.

    `scope` holds the variables that the entry shows, if the observer records them.
    """
    if kind is None:
        yield
        return
    activation = scope.activation
    observer = activation.execution.host.observer
    records = observer.records_variables
    entry = observer.step_started(
        routine=activation.routine,
        step=step.name,
        step_type=kind,
        line=step.position.line,
        thread=activation.thread,
        progress=progress,
        variables=scope.visible() if records else None,
    )
    has_failed, raised = True, None
    try:
        yield
        has_failed = False
    except WorkflowError as error:
        raised = error
        raise
    finally:
        variables = scope.visible() if records else None
        observer.step_ended(entry, failed=has_failed, error=raised, variables=variables)
