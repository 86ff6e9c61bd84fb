"""What an execution writes to the log: its `sys.log` entries, and its calls as its call log level asks.

The level decides as in production: LOG_ALL_CALLS has every call step and every failure, LOG_ERRORS_ONLY the failures.
Unlike production's entries these name the step but neither the function nor its arguments, which the interpreter does
not tell an observer. Source: https://cloud.google.com/workflows/docs/log-workflow.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from localcloud.workflows.enums import CallLogLevel, StepType
from localcloud.workflows.history import History
from localcloud.workflows.jsontext import encode_json_leniently
from localcloud.workflows.runtime.host import Value

_LOG = logging.getLogger("localcloud.workflows")

_CALLS = frozenset(
    {StepType.STEP_STD_LIB_CALL, StepType.STEP_CONNECTOR_CALL, StepType.STEP_SUBWORKFLOW_CALL, StepType.STEP_CALL}
)

_LEVELS = {
    "DEFAULT": logging.INFO,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "NOTICE": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
    "ALERT": logging.CRITICAL,
    "EMERGENCY": logging.CRITICAL,
}
"""Severities of Cloud Logging as levels of Python's."""


@dataclass(frozen=True, slots=True)
class ExecutionLog:
    """The `LogSink` of one execution: one JSON line per entry on the logger `localcloud.workflows`."""

    execution_name: str

    def write(self, severity: str, payload: Value) -> None:
        """Write one entry; a dict is `jsonPayload`, the rest `textPayload`."""
        kind = "jsonPayload" if isinstance(payload, dict) else "textPayload"
        entry: dict[str, Any] = {"severity": severity, "execution": self.execution_name, kind: payload}
        _LOG.log(_LEVELS.get(severity, logging.INFO), "%s", encode_json_leniently(entry))


class LoggedSteps:
    """A `StepObserver` that records into a history and writes calls to the log."""

    def __init__(self, history: History, log: ExecutionLog, level: CallLogLevel) -> None:
        self._history = history
        self._log = log
        self._logs_calls = level == CallLogLevel.LOG_ALL_CALLS
        self._logs_failures = level in (CallLogLevel.LOG_ALL_CALLS, CallLogLevel.LOG_ERRORS_ONLY)

    def step_started(self, *, routine: str, step: str, step_type: str, line: int, thread: str) -> int:
        """Record the step, and write that a call begins."""
        entry = self._history.step_started(routine=routine, step=step, step_type=step_type, line=line, thread=thread)
        if self._logs_calls and StepType[step_type] in _CALLS:
            self._write("INFO", entry, "CALL_STARTED")
        return entry

    def step_ended(self, entry: int, *, failed: bool) -> None:
        """Record the end, and write that a call ended or that a step failed."""
        self._history.step_ended(entry, failed=failed)
        if failed and self._logs_failures:
            self._write("ERROR", entry, "EXCEPTION_RAISED")
        elif self._logs_calls and (ended := self._history.entry(entry)) is not None and ended.step_type in _CALLS:
            self._write("INFO", entry, "CALL_SUCCEEDED")

    def _write(self, severity: str, entry_id: int, activity: str) -> None:
        entry = self._history.entry(entry_id)
        if entry is not None:
            payload = {"activity": activity, "routine": entry.routine, "step": entry.step, "line": entry.line}
            self._log.write(severity, payload)
