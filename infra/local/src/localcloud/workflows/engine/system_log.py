"""The start and the end of an execution in its log, which every execution has whatever its call log level.

Entries have the form of `ExecutionsSystemLog`, the payload of the log `workflows.googleapis.com/executions_system`:
https://github.com/googleapis/googleapis/blob/master/google/cloud/workflows/type/executions_system.proto. Its texts are
not published; argument and result are never truncated.
"""

from __future__ import annotations

from typing import Any

from localcloud.core.times import timestamp_to_json
from localcloud.workflows.engine.execution_log import ExecutionLog
from localcloud.workflows.enums import ExecutionState
from localcloud.workflows.jsontext import JsonDecodeError, decode_json
from localcloud.workflows.model import Execution, ExecutionFailure

LOG_ID = "workflows.googleapis.com/executions_system"

MAX_EXCEPTION_BYTES = 1024
"""Of `failure.exception` and `failure.source` in UTF-8: the proto says 1 kB."""

_TYPE = "type.googleapis.com/google.cloud.workflows.type.ExecutionsSystemLog"


def log_start(log: ExecutionLog, execution: Execution) -> None:
    """Write that an execution has begun to run, with its argument; one in the backlog has not."""
    _enter(log, ExecutionState.ACTIVE, "The execution started.", {"start": {"argument": execution.argument}})


def log_end(log: ExecutionLog, execution: Execution) -> None:
    """Write how an execution ended: with its result, its error, or cancelled."""
    match execution.state:
        case ExecutionState.SUCCEEDED:
            details = {"success": {"result": execution.result}}
            _enter(log, execution.state, "The execution succeeded.", details)
        case ExecutionState.FAILED if execution.error is not None:
            failure = _failure(execution.error)
            text = f"The execution failed: {failure['exception']}"
            _enter(log, execution.state, text, {"failure": failure}, severity="ERROR")
        case _:
            _enter(log, execution.state, "The execution was cancelled.", {})


def _enter(
    log: ExecutionLog, state: ExecutionState, message: str, details: dict[str, Any], *, severity: str = "INFO"
) -> None:
    entry = {
        "@type": _TYPE,
        "message": message,
        "activityTime": timestamp_to_json(log.clock.now()),
        "state": state.name,
    }
    log.enter(LOG_ID, severity, entry | details)


def _failure(error: ExecutionFailure) -> dict[str, str]:
    failure = {"exception": _cut(_message(error))}
    if error.stack_trace:
        innermost = error.stack_trace[0]
        failure["source"] = _cut(f"{innermost.routine}.{innermost.step}")
    return failure


def _message(error: ExecutionFailure) -> str:
    try:
        match decode_json(error.payload):
            case {"message": str(message)}:
                return message
    except JsonDecodeError:
        # An infinite double, for one, is written in the payload although JSON has no form for it.
        return error.payload
    return error.payload


def _cut(text: str) -> str:
    return text.encode(errors="replace")[:MAX_EXCEPTION_BYTES].decode(errors="ignore")
