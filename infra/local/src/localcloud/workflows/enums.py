"""The enumerations of the Workflows and Executions APIs, with the numbers of their protos."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

from localcloud.core.google_errors import invalid_argument

E = TypeVar("E", bound=IntEnum)


class WorkflowState(IntEnum):
    """`Workflow.state`."""

    STATE_UNSPECIFIED = 0
    ACTIVE = 1
    UNAVAILABLE = 2


class ExecutionState(IntEnum):
    """`Execution.state`."""

    STATE_UNSPECIFIED = 0
    ACTIVE = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4
    UNAVAILABLE = 5
    QUEUED = 6


LIVE_STATES = frozenset({ExecutionState.ACTIVE, ExecutionState.QUEUED})
"""States that an execution leaves."""


class CallLogLevel(IntEnum):
    """`callLogLevel` of workflows and executions."""

    CALL_LOG_LEVEL_UNSPECIFIED = 0
    LOG_ALL_CALLS = 1
    LOG_ERRORS_ONLY = 2
    LOG_NONE = 3


class HistoryLevel(IntEnum):
    """`executionHistoryLevel` of workflows and executions."""

    EXECUTION_HISTORY_LEVEL_UNSPECIFIED = 0
    EXECUTION_HISTORY_BASIC = 1
    EXECUTION_HISTORY_DETAILED = 2


class ExecutionView(IntEnum):
    """`view` of executions."""

    EXECUTION_VIEW_UNSPECIFIED = 0
    BASIC = 1
    FULL = 2


class StepEntryView(IntEnum):
    """`view` of step entries; deprecated by Google, since the history level decides what is recorded."""

    EXECUTION_ENTRY_VIEW_UNSPECIFIED = 0
    EXECUTION_ENTRY_VIEW_BASIC = 1
    EXECUTION_ENTRY_VIEW_DETAILED = 2


class ProgressType(IntEnum):
    """`StepEntryMetadata.progressType`."""

    PROGRESS_TYPE_UNSPECIFIED = 0
    PROGRESS_TYPE_FOR = 1
    PROGRESS_TYPE_SWITCH = 2
    PROGRESS_TYPE_RETRY = 3
    PROGRESS_TYPE_PARALLEL_FOR = 4
    PROGRESS_TYPE_PARALLEL_BRANCH = 5


class StepState(IntEnum):
    """`StepEntry.state`."""

    STATE_UNSPECIFIED = 0
    STATE_IN_PROGRESS = 1
    STATE_SUCCEEDED = 2
    STATE_FAILED = 3
    STATE_CANCELLED = 4


class StepType(IntEnum):
    """`StepEntry.stepType`."""

    STEP_TYPE_UNSPECIFIED = 0
    STEP_ASSIGN = 1
    STEP_STD_LIB_CALL = 2
    STEP_CONNECTOR_CALL = 3
    STEP_SUBWORKFLOW_CALL = 4
    STEP_CALL = 5
    STEP_SWITCH = 6
    STEP_CONDITION = 7
    STEP_FOR = 8
    STEP_FOR_ITERATION = 9
    STEP_PARALLEL_FOR = 10
    STEP_PARALLEL_BRANCH = 11
    STEP_PARALLEL_BRANCH_ENTRY = 12
    STEP_TRY_RETRY_EXCEPT = 13
    STEP_TRY = 14
    STEP_RETRY = 15
    STEP_EXCEPT = 16
    STEP_RETURN = 17
    STEP_RAISE = 18
    STEP_GOTO = 19


def enum_from_json(kind: type[E], value: object, field: str) -> E:
    """Return the member that a request names by name or number, as proto3 JSON allows.

    Raises:
        GoogleError: INVALID_ARGUMENT, the value is none of `kind`.
    """
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return kind(value)
        if isinstance(value, str):
            return kind(int(value)) if value.isdigit() else kind[value]
    except (KeyError, ValueError):
        pass
    raise invalid_argument(f"Invalid value at '{field}': {value!r} is not a {kind.__name__}")
