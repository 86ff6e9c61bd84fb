"""The calls of an execution in its log, as its call log level asks.

Entries have the form of `EngineCallLog`, the payload of the log `workflows.googleapis.com/engine_call`:
https://github.com/googleapis/googleapis/blob/master/google/cloud/workflows/type/engine_call.proto. The levels are those
of https://cloud.google.com/workflows/docs/log-workflow: LOG_ALL_CALLS has every call step, LOG_ERRORS_ONLY those
that an exception stopped. Not written: EXCEPTION_HANDLED, which no page explains. Nothing is truncated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.times import timestamp_to_json
from localcloud.workflows.engine.execution_log import ExecutionLog
from localcloud.workflows.enums import CallLogLevel
from localcloud.workflows.jsontext import MAX_DEPTH, encode_json_leniently
from localcloud.workflows.values import Value

LOG_ID = "workflows.googleapis.com/engine_call"

_TYPE = "type.googleapis.com/google.cloud.workflows.type.EngineCallLog"
_SEVERITY = "DEBUG"
"""Of every entry: https://cloud.google.com/logging/docs/api/platform-logs#workflows."""
_REDACTED_HEADER = "authorization"
_ENTRY_DEPTH = 5
"""How deep in an entry an argument stands, and some."""

REDACTED = "REDACTED"
"""Stands for the value of an Authorization header in arguments and responses; production's text is not published."""


@dataclass(frozen=True, slots=True)
class _OpenCall:
    step: str
    callee: str
    start_time: float


class CallLog:
    """The `CallObserver` that writes the calls of one execution to its log."""

    def __init__(self, log: ExecutionLog, clock: Clock, level: CallLogLevel) -> None:
        self._log = log
        self._clock = clock
        self._logs_all = level == CallLogLevel.LOG_ALL_CALLS
        self._execution_id = log.execution_name.rpartition("/")[2]
        self._open: dict[int, _OpenCall] = {}
        self._last_id = 0

    def call_started(
        self,
        *,
        routine: str,  # noqa: ARG002 - the proto has no field for it
        step: str,
        function: str,
        arguments: Mapping[str, Value],
    ) -> int:
        """Write the call with those arguments that are not null, and return an id for the other two."""
        self._last_id += 1
        call = _OpenCall(step, function, self._clock.now())
        self._open[self._last_id] = call
        if self._logs_all:
            named = {name: _redacted(value) for name, value in arguments.items() if value is not None}
            self._write(call, "BEGUN", {"begun": {"namedArgs": named}})
        return self._last_id

    def call_returned(self, call: int, response: Value) -> None:
        """Write what the call returned, as JSON text."""
        ended = self._open.pop(call)
        if self._logs_all:
            details = {"callStartTime": timestamp_to_json(ended.start_time), "response": _text(_redacted(response))}
            self._write(ended, "SUCCEEDED", {"succeeded": details})

    def call_raised(self, call: int, error: Value, *, origin: str | None) -> None:
        """Write the message of what the call raised, and the step where it comes from."""
        ended = self._open.pop(call)
        match error:
            case {"message": str(message)}:
                text = message
            case _:
                text = _text(_redacted(error))
        details = {
            "callStartTime": timestamp_to_json(ended.start_time),
            "exception": text,
            "origin": ended.step if origin is None else origin,
        }
        self._write(ended, "EXCEPTION_RAISED", {"exceptionRaised": details})

    def _write(self, call: _OpenCall, state: str, details: dict[str, Any]) -> None:
        entry = {
            "@type": _TYPE,
            "executionId": self._execution_id,
            "activityTime": timestamp_to_json(self._clock.now()),
            "state": state,
            "step": call.step,
            "callee": call.callee,
        }
        self._log.enter(LOG_ID, _SEVERITY, entry | details)


def call_log(log: ExecutionLog, clock: Clock, level: CallLogLevel) -> CallLog | None:
    """Return the observer that `level` asks for, or None when no calls are logged."""
    if level in (CallLogLevel.LOG_ALL_CALLS, CallLogLevel.LOG_ERRORS_ONLY):
        return CallLog(log, clock, level)
    return None


def _redacted(value: Value, depth: int = 0) -> Value:
    """Return a copy without the values of Authorization headers, however deep, and without what nests too deep."""
    if depth >= MAX_DEPTH - _ENTRY_DEPTH:
        return "(nested too deep)"
    match value:
        case dict():
            return {
                key: REDACTED if key.lower() == _REDACTED_HEADER else _redacted(item, depth + 1)
                for key, item in value.items()
            }
        case list():
            return [_redacted(item, depth + 1) for item in value]
        case _:
            return value


def _text(value: Value) -> str:
    return encode_json_leniently(value)
