"""What the emulator keeps: workflows with their revisions, executions pinned to one of them, operations.

Records are immutable; the store replaces them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.core.google_errors import GoogleError
from localcloud.workflows.enums import LIVE_STATES, CallLogLevel, ExecutionState, HistoryLevel
from localcloud.workflows.errors import StackFrame
from localcloud.workflows.source.steps import Program
from localcloud.workflows.step_history import History


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
    crypto_key: str = ""

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
