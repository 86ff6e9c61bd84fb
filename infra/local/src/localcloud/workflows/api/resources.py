"""Records as proto3 JSON: camelCase keys, defaults omitted, 64-bit integers as strings, RFC 3339 times.

Enumerations stay `IntEnum` members until `to_wire`, because the caller chooses names or numbers
(`$alt=json;enum-encoding=int`).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from localcloud.core.json_values import Json
from localcloud.core.times import duration_to_json, timestamp_to_json
from localcloud.workflows.enums import ExecutionState, ExecutionView, ProgressType, StepEntryView, WorkflowState
from localcloud.workflows.jsontext import format_double
from localcloud.workflows.model import Execution, ExecutionFailure, Operation, Revision, Workflow
from localcloud.workflows.step_history import StepEntry

_WORKFLOWS_PACKAGE = "type.googleapis.com/google.cloud.workflows"
_WORKFLOWS_TYPE = f"{_WORKFLOWS_PACKAGE}.v1"


def workflow_json(workflow: Workflow, revision: Revision | None = None) -> Json:
    """Return the Workflow resource, as of its current revision or of `revision`."""
    shown = revision or workflow.current
    return present(
        {
            "name": workflow.name,
            "description": workflow.description,
            "state": WorkflowState.ACTIVE,
            "revisionId": shown.revision_id,
            "createTime": timestamp_to_json(workflow.create_time),
            "updateTime": timestamp_to_json(workflow.update_time),
            "revisionCreateTime": timestamp_to_json(shown.create_time),
            "labels": dict(workflow.labels),
            "serviceAccount": f"projects/{workflow.name.split('/')[1]}/serviceAccounts/{shown.service_account}",
            "sourceContents": shown.source,
            "callLogLevel": workflow.call_log_level,
            "userEnvVars": dict(shown.user_env),
            "executionHistoryLevel": workflow.history_level,
            "cryptoKeyName": workflow.crypto_key,
        }
    )


def operation_json(operation: Operation) -> Json:
    """Return a google.longrunning.Operation with the `@type`s that clients unpack by."""
    moment = timestamp_to_json(operation.create_time)
    body: Json = {
        "name": operation.name,
        "metadata": {
            "@type": f"{_WORKFLOWS_TYPE}.OperationMetadata",
            "createTime": moment,
            "endTime": moment,
            "target": operation.target,
            "verb": operation.verb,
            "apiVersion": "v1",
        },
        "done": True,
    }
    if operation.error is not None:
        body["error"] = {"code": operation.error.grpc_code, "message": operation.error.message}
    elif operation.verb == "delete":
        body["response"] = {"@type": "type.googleapis.com/google.protobuf.Empty"}
    else:
        body["response"] = {"@type": f"{_WORKFLOWS_TYPE}.Workflow", **(operation.response or {})}
    return body


def in_version(answer: Json, version: str) -> Json:
    """Return an answer whose operations hold messages of an API version other than v1, as its client unpacks them."""
    changed = dict(answer)
    for key in ("metadata", "response"):
        if isinstance(packed := answer.get(key), Mapping) and "@type" in packed:
            kind = str(packed["@type"]).replace(f"{_WORKFLOWS_TYPE}.", f"{_WORKFLOWS_PACKAGE}.{version}.")
            changed[key] = {**packed, "@type": kind}
    if "operations" in answer:
        changed["operations"] = [in_version(operation, version) for operation in answer["operations"]]
    return changed


def execution_json(execution: Execution, view: ExecutionView, now_s: float) -> Json:
    """Return the Execution resource; BASIC has only what the API reference names for it."""
    end_time = execution.end_time if execution.end_time is not None else now_s
    body: Json = {
        "name": execution.name,
        "startTime": _time(execution.start_time),
        "endTime": _time(execution.end_time),
        "duration": duration_to_json(end_time - execution.start_time) if execution.start_time is not None else None,
        "state": execution.state,
        "workflowRevisionId": execution.revision.revision_id,
    }
    if view != ExecutionView.BASIC:
        body |= {
            "createTime": timestamp_to_json(execution.create_time),
            "argument": execution.argument,
            "result": execution.result,
            "error": _failure_json(execution.error) if execution.error is not None else None,
            "callLogLevel": execution.call_log_level,
            "executionHistoryLevel": execution.history_level,
            "labels": dict(execution.labels),
            "disableConcurrencyQuotaOverflowBuffering": execution.refuses_backlog,
            "status": _status_json(execution),
        }
    return present(body)


def step_entry_json(
    execution_name: str, entry: StepEntry, view: StepEntryView = StepEntryView.EXECUTION_ENTRY_VIEW_UNSPECIFIED
) -> Json:
    """Return a StepEntry resource; the basic view has no variables, the others what was recorded."""
    navigation = present(
        {
            "parent": _int64(entry.parent),
            "children": [str(child) for child in entry.children],
            "previous": _int64(entry.previous),
            "next": _int64(entry.next),
        }
    )
    return present(
        {
            "name": f"{execution_name}/stepEntries/{entry.entry_id}",
            "createTime": timestamp_to_json(entry.create_time),
            "updateTime": timestamp_to_json(entry.update_time),
            "routine": entry.routine,
            "step": entry.step,
            "stepType": entry.step_type,
            "state": entry.state,
            "entryId": str(entry.entry_id),
            "exception": {"payload": entry.exception} if entry.exception is not None else None,
            "navigationInfo": navigation,
            "stepEntryMetadata": _metadata_json(entry),
            "variableData": _variables_json(entry, view),
        }
    )


def _metadata_json(entry: StepEntry) -> Json:
    body: Json = {"threadId": entry.thread}
    if entry.progress is not None:
        body |= {
            "progressType": ProgressType[entry.progress.progress_type],
            "progressNumber": _int64(entry.progress.number),
            # Only a detailed history, which has variables, tells how many iterations are expected.
            "expectedIteration": _int64(entry.progress.expected) if entry.variables is not None else None,
        }
    return present(body)


def _variables_json(entry: StepEntry, view: StepEntryView) -> Json | None:
    if entry.variables is None or view == StepEntryView.EXECUTION_ENTRY_VIEW_BASIC:
        return None
    return {"variables": {name: _json_value(value) for name, value in entry.variables.items()}}


def _json_value(value: Any) -> Any:
    """Return a workflow value as JSON: bytes as base64 text, odd doubles as text (assumed)."""
    match value:
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case float() if not math.isfinite(value):
            return format_double(value)
        case dict():
            return {key: _json_value(item) for key, item in value.items()}
        case list():
            return [_json_value(item) for item in value]
        case _:
            return value


def to_wire(value: Any, *, enum_numbers: bool = False) -> Any:
    """Return `value` with enumerations as names, or as numbers when asked."""
    match value:
        case IntEnum():
            return int(value) if enum_numbers else value.name
        case Mapping():
            return {key: to_wire(item, enum_numbers=enum_numbers) for key, item in value.items()}
        case list() | tuple():
            return [to_wire(item, enum_numbers=enum_numbers) for item in value]
        case _:
            return value


def present(body: Json) -> Json:
    """Drop fields that hold proto3's default."""
    return {key: value for key, value in body.items() if value not in (None, "", [], {}, 0, False)}


def _status_json(execution: Execution) -> Json:
    if execution.state == ExecutionState.QUEUED:
        return {}
    steps = [{"routine": routine, "step": step} for routine, step in execution.history.current_steps()]
    return present({"currentSteps": steps})


def _failure_json(failure: ExecutionFailure) -> Json:
    elements = [
        {
            "step": frame.step,
            "routine": frame.routine,
            "position": present(
                {"line": _int64(frame.line), "column": _int64(frame.column), "length": _int64(frame.length)}
            ),
        }
        for frame in failure.stack_trace
    ]
    return {"payload": failure.payload, "context": failure.context, "stackTrace": present({"elements": elements})}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp_to_json(seconds)


def _int64(number: int | None) -> str | None:
    return str(number) if number else None
