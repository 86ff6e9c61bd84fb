"""What the emulator remembers: workflows with their revisions, executions pinned to one of them, operations.

Records are immutable; the store replaces them. It has one owner, the server's event loop, and needs no lock.
Does not know JSON, HTTP or how an execution runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from localcloud.core.google_errors import GoogleError, not_found
from localcloud.workflows.enums import LIVE_STATES, CallLogLevel, ExecutionState, HistoryLevel
from localcloud.workflows.errors import StackFrame
from localcloud.workflows.source.steps import Program
from localcloud.workflows.step_history import History

MAX_FINISHED_EXECUTIONS = 5_000
"""Finished executions kept; the oldest goes first. Google keeps them 90 days, a laptop's memory is shorter."""

MAX_FINISHED_STEP_ENTRIES = 200_000
"""Step entries kept over all finished executions, about 50 MB; the oldest execution goes first.

Recorded variables count as entries, by `History.weight`.
"""


@dataclass(frozen=True, slots=True)
class Revision:
    """One deployed source: what an execution is pinned to."""

    revision_id: str
    create_time: float
    source: str
    program: Program
    service_account: str
    user_env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow and all its revisions, oldest first."""

    name: str
    create_time: float
    update_time: float
    revisions: tuple[Revision, ...]
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    call_log_level: CallLogLevel = CallLogLevel.CALL_LOG_LEVEL_UNSPECIFIED
    history_level: HistoryLevel = HistoryLevel.EXECUTION_HISTORY_LEVEL_UNSPECIFIED

    @property
    def current(self) -> Revision:
        """The revision that new executions run."""
        return self.revisions[-1]

    def next_revision_id(self) -> str:
        """Return an id like `000002-a4d`: the ordinal and three random hex digits."""
        return f"{len(self.revisions) + 1:06d}-{secrets.token_hex(2)[:3]}"


@dataclass(frozen=True, slots=True)
class ExecutionFailure:
    """`Execution.error`: `payload` is JSON text."""

    payload: str
    context: str
    stack_trace: tuple[StackFrame, ...] = ()


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a workflow; times are seconds since the epoch, `argument` and `result` JSON text."""

    name: str
    revision: Revision
    argument: str
    state: ExecutionState
    create_time: float
    start_time: float | None = None
    end_time: float | None = None
    result: str | None = None
    error: ExecutionFailure | None = None
    call_log_level: CallLogLevel = CallLogLevel.CALL_LOG_LEVEL_UNSPECIFIED
    history_level: HistoryLevel = HistoryLevel.EXECUTION_HISTORY_LEVEL_UNSPECIFIED
    labels: Mapping[str, str] = field(default_factory=dict)
    refuses_backlog: bool = False
    history: History = field(default_factory=History)

    @property
    def workflow_name(self) -> str:
        """Full name of the workflow it runs."""
        return self.name.rsplit("/", 2)[0]

    @property
    def duration_s(self) -> float | None:
        """Seconds from its start to its end; None before the end."""
        if self.end_time is None or self.start_time is None:
            return None
        return self.end_time - self.start_time

    @property
    def execution_id(self) -> str:
        """Last part of the name."""
        return self.name.rsplit("/", 1)[1]

    @property
    def is_live(self) -> bool:
        """Whether it is still queued or running."""
        return self.state in LIVE_STATES


@dataclass(frozen=True, slots=True)
class Operation:
    """A finished long-running operation; deploys complete at once, so there is no unfinished one."""

    name: str
    create_time: float
    target: str
    verb: str
    response: Mapping[str, Any] | None = None
    error: GoogleError | None = None


class Store:
    """Owner of all state of the emulator."""

    def __init__(
        self,
        *,
        max_finished_executions: int = MAX_FINISHED_EXECUTIONS,
        max_finished_step_entries: int = MAX_FINISHED_STEP_ENTRIES,
    ) -> None:
        self._max_finished = max_finished_executions
        self._max_finished_entries = max_finished_step_entries
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.workflows: dict[str, Workflow] = {}
        self.operations: dict[str, Operation] = {}
        self._executions: dict[str, dict[str, Execution]] = {}
        self._finished: dict[str, int] = {}
        self._finished_entries = 0

    def workflow(self, name: str) -> Workflow:
        """Return a workflow.

        Raises:
            GoogleError: NOT_FOUND.
        """
        try:
            return self.workflows[name]
        except KeyError:
            raise not_found(f"Resource '{name}' was not found") from None

    def remove_workflow(self, name: str) -> None:
        """Forget a workflow and its executions."""
        del self.workflows[name]
        for execution in self._executions.pop(name, {}).values():
            self._finished_entries -= self._finished.pop(execution.name, 0)

    def operation(self, name: str) -> Operation:
        """Return an operation.

        Raises:
            GoogleError: NOT_FOUND.
        """
        try:
            return self.operations[name]
        except KeyError:
            raise not_found(f"Operation '{name}' was not found") from None

    def has_execution(self, name: str) -> bool:
        """Return whether an execution is remembered."""
        return name in self._executions.get(name.rsplit("/", 2)[0], {})

    def execution(self, name: str) -> Execution:
        """Return an execution.

        Raises:
            GoogleError: NOT_FOUND.
        """
        try:
            return self._executions[name.rsplit("/", 2)[0]][name]
        except KeyError:
            raise not_found(f"Resource '{name}' was not found") from None

    def executions(self, workflow_name: str) -> list[Execution]:
        """Return the executions of a workflow, newest first."""
        return list(reversed(self._executions.get(workflow_name, {}).values()))

    def all_executions(self) -> list[Execution]:
        """Return every execution."""
        return [execution for of_one in self._executions.values() for execution in of_one.values()]

    def put_execution(self, execution: Execution) -> None:
        """Add or replace an execution; one that has just finished may push out the oldest finished ones."""
        self._executions.setdefault(execution.workflow_name, {})[execution.name] = execution
        if execution.is_live or execution.name in self._finished:
            return
        self._finished[execution.name] = execution.history.weight
        self._finished_entries += execution.history.weight
        while len(self._finished) > self._max_finished or (
            self._finished_entries > self._max_finished_entries and len(self._finished) > 1
        ):
            oldest = next(iter(self._finished))
            self._finished_entries -= self._finished.pop(oldest)
            del self._executions[oldest.rsplit("/", 2)[0]][oldest]

    def change_execution(self, name: str, **changes: Any) -> Execution | None:
        """Replace fields of a live execution and return it; None when it has ended or is gone, and nothing changes."""
        execution = self._executions.get(name.rsplit("/", 2)[0], {}).get(name)
        if execution is None or not execution.is_live:
            return None
        changed = replace(execution, **changes)
        self.put_execution(changed)
        return changed
