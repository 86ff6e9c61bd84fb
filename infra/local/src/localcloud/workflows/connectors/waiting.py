"""Performs a connector's call and waits for what it started: operations, executions and jobs are polled until they end.

Source: https://cloud.google.com/workflows/docs/connectors#lro and the pages of methods that say "This method waits".
Where they are silent: the result is an Operation's `response`, of Compute Engine's operations and of jobs the last
answer, and of Cloud Build the whole operation, as a sample reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from localcloud.workflows.connectors.calls import ApiCall, connector_params
from localcloud.workflows.connectors.methods import CONNECTOR_PARAMS, ApiMethod, Waiting, request_for
from localcloud.workflows.errors import WorkflowError, response_type_error
from localcloud.workflows.runtime.host import ConnectorMethod, Host
from localcloud.workflows.values import Value

_LIVE_EXECUTIONS = frozenset({"ACTIVE", "QUEUED"})
_WHOLE_OPERATION = ("googleapis.cloudbuild.", "googleapis.compute.")
_PLACEHOLDER = re.compile(r"\{([\w.]+)\}")


@dataclass(frozen=True, slots=True)
class Job:
    """How a resource that is a job is polled.

    Attributes:
        path: below the service's address; `{a.b}` is a field of the first answer, or an argument of the call.
        state: where the answer says how far it is, `a.b`.
        ended: states that are an end.
        failed: states that are a bad end.
        error: where an error stands if there is one, or "".
        inside: the field of the first answer that holds the job, or "".
    """

    path: str
    state: str
    ended: frozenset[str]
    failed: frozenset[str] = frozenset()
    error: str = ""
    inside: str = ""


_DATAFLOW_ENDS = frozenset({"JOB_STATE_DONE", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_UPDATED"})
_DATAFLOW = Job(
    "v1b3/projects/{projectId}/locations/{location}/jobs/{id}",
    "currentState",
    _DATAFLOW_ENDS | {"JOB_STATE_DRAINED"},
    frozenset({"JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}),
)
_DATAFLOW_LAUNCHED = Job(_DATAFLOW.path, _DATAFLOW.state, _DATAFLOW.ended, _DATAFLOW.failed, inside="job")
_ENDS_WELL_OR_NOT = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_BAD_ENDS = frozenset({"FAILED", "CANCELLED"})

JOBS: Mapping[str, Job] = {
    "googleapis.bigquery.v2.jobs.insert": Job(
        "bigquery/v2/projects/{projectId}/jobs/{jobReference.jobId}?location={jobReference.location}",
        "status.state",
        frozenset({"DONE"}),
        error="status.errorResult",
    ),
    "googleapis.batch.v1.projects.locations.jobs.create": Job(
        "v1/{name}", "status.state", _ENDS_WELL_OR_NOT, _BAD_ENDS
    ),
    "googleapis.dataflow.v1b3.projects.jobs.create": _DATAFLOW,
    "googleapis.dataflow.v1b3.projects.locations.jobs.create": _DATAFLOW,
    "googleapis.dataflow.v1b3.projects.templates.create": _DATAFLOW,
    "googleapis.dataflow.v1b3.projects.templates.launch": _DATAFLOW_LAUNCHED,
    "googleapis.dataflow.v1b3.projects.locations.templates.create": _DATAFLOW,
    "googleapis.dataflow.v1b3.projects.locations.templates.launch": _DATAFLOW_LAUNCHED,
    "googleapis.dataflow.v1b3.projects.locations.flexTemplates.launch": _DATAFLOW_LAUNCHED,
    "googleapis.ml.v1.projects.jobs.create": Job("v1/{parent}/jobs/{jobId}", "state", _ENDS_WELL_OR_NOT, _BAD_ENDS),
    "googleapis.transcoder.v1.projects.locations.jobs.create": Job(
        "v1/{name}", "state", _ENDS_WELL_OR_NOT, frozenset({"FAILED"})
    ),
    "googleapis.run.v1.namespaces.jobs.run": Job(
        "apis/run.googleapis.com/v1/namespaces/{metadata.namespace}/executions/{metadata.name}",
        "status.conditions.Completed.status",
        frozenset({"True", "False"}),
        frozenset({"False"}),
    ),
}
"""Methods that wait for a job. Source: the list of supported connectors, and the pages of the methods."""


def connector(method: ApiMethod) -> ConnectorMethod:
    """Return the callable that the interpreter is given for a method."""

    async def call(host: Host, arguments: Mapping[str, Value]) -> Value:
        params = connector_params(arguments.get(CONNECTOR_PARAMS))
        return await perform(ApiCall(host, params), method, arguments)

    return call


async def perform(call: ApiCall, method: ApiMethod, arguments: Mapping[str, Value]) -> Value:
    """Send the request of `method` and wait for what it started."""
    answer = await call.send(request_for(method, arguments))
    if call.params.skip_polling:
        return answer
    match method.waiting:
        case Waiting.NOT:
            return answer
        case Waiting.OPERATION:
            return await _await_operation(call, method, answer)
        case Waiting.STATUS:
            return await _await_status(call, method, answer)
        case Waiting.EXECUTION:
            return await _await_execution(call, method, answer)
        case Waiting.JOB:
            return await _await_job(call, method, arguments, answer)


def operation_error(message: str, operation: Value, error: Value = None) -> WorkflowError:
    """Return the error of a long-running operation that ended unsuccessfully."""
    value = {"message": message, "operation": operation, "tags": ["OperationError"]}
    if error is not None:
        value["error"] = error
    return WorkflowError(value)


async def _await_operation(call: ApiCall, method: ApiMethod, answer: Value) -> Value:
    if not isinstance(answer, dict) or not isinstance(answer.get("name"), str):
        raise response_type_error("not an operation")
    operation = await call.poll(
        f"{_service_root(method)}/{answer['name']}", answer, is_done=lambda value: value.get("done") is True
    )
    if "error" in operation:
        text = operation["error"].get("message", "") if isinstance(operation["error"], dict) else ""
        raise operation_error(f"Operation failed: {text}", operation, operation["error"])
    return operation if method.name.startswith(_WHOLE_OPERATION) else operation.get("response")


async def _await_status(call: ApiCall, method: ApiMethod, answer: Value) -> Value:
    """Poll an operation that names its own address and has a status, as those of Compute Engine do."""
    if not isinstance(answer, dict) or not isinstance(answer.get("selfLink"), str):
        raise response_type_error("not an operation")
    own = urlsplit(method.url)
    url = f"{own.scheme}://{own.netloc}{urlsplit(answer['selfLink']).path}"
    operation = await call.poll(url, answer, is_done=lambda value: value.get("status") == "DONE")
    if operation.get("error"):
        raise operation_error("Operation failed", operation, operation["error"])
    return operation


async def _await_execution(call: ApiCall, method: ApiMethod, answer: Value) -> Value:
    if not isinstance(answer, dict) or not isinstance(answer.get("name"), str):
        raise response_type_error("not an execution")
    execution = await call.poll(
        f"{_service_root(method)}/{answer['name']}",
        answer,
        is_done=lambda value: value.get("state") not in _LIVE_EXECUTIONS,
    )
    if execution.get("state") != "SUCCEEDED":
        raise operation_error("Execution failed or cancelled.", execution)
    return execution


async def _await_job(call: ApiCall, method: ApiMethod, arguments: Mapping[str, Value], answer: Value) -> Value:
    way = JOBS[method.name]
    job = answer.get(way.inside) if way.inside and isinstance(answer, dict) else answer
    if not isinstance(job, dict):
        raise response_type_error("not a job")
    own = urlsplit(method.url)
    path = _PLACEHOLDER.sub(lambda match: _text_at({**arguments, **job}, match[1]), way.path)
    url = f"{own.scheme}://{own.netloc}/{path.removesuffix('?location=')}"
    last = await call.poll(url, job, is_done=lambda value: _text_at(value, way.state) in way.ended)
    error = _at(last, way.error) if way.error else None
    if error or _text_at(last, way.state) in way.failed:
        text = error.get("message", "") if isinstance(error, dict) else _text_at(last, way.state)
        raise operation_error(f"Operation failed: {text}", last, error)
    return last


def _at(value: Any, path: str) -> Any:
    """Return the field at `a.b`; a list is searched for the condition of this `type`."""
    for name in path.split("."):
        if isinstance(value, list):
            value = next((item for item in value if isinstance(item, dict) and item.get("type") == name), None)
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value


def _text_at(value: Any, path: str) -> str:
    found = _at(value, path)
    return found if isinstance(found, str) else ""


def _service_root(method: ApiMethod) -> str:
    """Return `https://workflows.googleapis.com/v1`."""
    return "/".join(method.url.split("/")[:4])
