"""Workflow Executions v1 and Workflows v1, with the helper `executions.run`.

Source: https://cloud.google.com/workflows/docs/reference/googleapis/workflowexecutions/Overview. Executions that a
connector starts do not wait in the backlog unless the body says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from localcloud.workflows.connectors.calls import ApiCall, connector_params
from localcloud.workflows.connectors.methods import CONNECTOR_PARAMS, ApiMethod, BodyKind, Waiting
from localcloud.workflows.connectors.waiting import connector, perform
from localcloud.workflows.errors import response_type_error, type_error, value_error
from localcloud.workflows.jsontext import JsonDecodeError, JsonEncodeError, decode_json, encode_json
from localcloud.workflows.runtime.host import ConnectorMethod, Host
from localcloud.workflows.values import Value

_EXECUTIONS = "googleapis.workflowexecutions.v1.projects.locations.workflows.executions"
_WORKFLOWS = "googleapis.workflows.v1.projects.locations.workflows"
_EXECUTIONS_V1 = "https://workflowexecutions.googleapis.com/v1"
_WORKFLOWS_V1 = "https://workflows.googleapis.com/v1"
_NO_BACKLOG = "disableConcurrencyQuotaOverflowBuffering"
_RUN = f"{_EXECUTIONS}.run"
_RUN_ARGUMENTS = {"workflow_id", "location", "project_id", "argument", "callLogLevel", CONNECTOR_PARAMS}

_CREATE = ApiMethod(
    f"{_EXECUTIONS}.create",
    "POST",
    f"{_EXECUTIONS_V1}/{{+parent}}/executions",
    body=BodyKind.JSON,
    waiting=Waiting.EXECUTION,
)

METHODS = (
    ApiMethod(f"{_EXECUTIONS}.cancel", "POST", f"{_EXECUTIONS_V1}/{{+name}}:cancel", body=BodyKind.JSON),
    ApiMethod(f"{_EXECUTIONS}.get", "GET", f"{_EXECUTIONS_V1}/{{+name}}", query=("view",)),
    ApiMethod(
        f"{_EXECUTIONS}.list",
        "GET",
        f"{_EXECUTIONS_V1}/{{+parent}}/executions",
        query=("pageSize", "pageToken", "view", "filter", "orderBy"),
    ),
    ApiMethod(f"{_EXECUTIONS}.stepEntries.get", "GET", f"{_EXECUTIONS_V1}/{{+name}}", query=("view",)),
    ApiMethod(
        f"{_EXECUTIONS}.stepEntries.list",
        "GET",
        f"{_EXECUTIONS_V1}/{{+parent}}/stepEntries",
        query=("pageSize", "pageToken", "skip", "view", "filter", "orderBy"),
    ),
    ApiMethod(
        f"{_EXECUTIONS.removesuffix('.executions')}.triggerPubsubExecution",
        "POST",
        f"{_EXECUTIONS_V1}/{{+workflow}}:triggerPubsubExecution",
        body=BodyKind.JSON,
        waiting=Waiting.EXECUTION,
    ),
    ApiMethod(
        f"{_WORKFLOWS}.create",
        "POST",
        f"{_WORKFLOWS_V1}/{{+parent}}/workflows",
        query=("workflowId",),
        body=BodyKind.JSON,
        waiting=Waiting.OPERATION,
    ),
    ApiMethod(f"{_WORKFLOWS}.delete", "DELETE", f"{_WORKFLOWS_V1}/{{+name}}", waiting=Waiting.OPERATION),
    ApiMethod(f"{_WORKFLOWS}.get", "GET", f"{_WORKFLOWS_V1}/{{+name}}", query=("revisionId",)),
    ApiMethod(
        f"{_WORKFLOWS}.list",
        "GET",
        f"{_WORKFLOWS_V1}/{{+parent}}/workflows",
        query=("pageSize", "pageToken", "filter", "orderBy"),
    ),
    ApiMethod(
        f"{_WORKFLOWS}.patch",
        "PATCH",
        f"{_WORKFLOWS_V1}/{{+name}}",
        query=("updateMask",),
        body=BodyKind.JSON,
        waiting=Waiting.OPERATION,
    ),
)


def executions_methods() -> dict[str, ConnectorMethod]:
    """Return the connectors of this module by full name."""
    return {
        **{method.name: connector(method) for method in METHODS},
        _CREATE.name: _create,
        _RUN: _run,
    }


async def _create(host: Host, arguments: Mapping[str, Value]) -> Value:
    """Start an execution and, unless `skip_polling`, wait for its end; return the Execution."""
    body = arguments.get("body")
    if body is not None and not isinstance(body, dict):
        raise type_error(f"{_CREATE.name}: argument 'body' must be a map")
    call = ApiCall(host, connector_params(arguments.get(CONNECTOR_PARAMS)))
    return await perform(call, _CREATE, {**arguments, "body": {_NO_BACKLOG: True, **(body or {})}})


async def _run(host: Host, arguments: Mapping[str, Value]) -> Value:
    """Run a workflow to its end and return its decoded result.

    `workflow_id` is needed; `location` and `project_id` default to the caller's, `argument` is any value.
    """
    if unknown := sorted(set(arguments) - _RUN_ARGUMENTS):
        raise type_error(f"{_RUN}: unknown argument {unknown[0]!r}")
    workflow_id = arguments.get("workflow_id")
    if not isinstance(workflow_id, str):
        raise type_error(f"{_RUN}: missing argument 'workflow_id'")
    project = arguments.get("project_id") or host.env["GOOGLE_CLOUD_PROJECT_ID"]
    location = arguments.get("location") or host.env["GOOGLE_CLOUD_LOCATION"]
    call = ApiCall(host, connector_params(arguments.get(CONNECTOR_PARAMS)))
    workflow = f"projects/{project}/locations/{location}/workflows/{workflow_id}"
    extra = {"callLogLevel": arguments["callLogLevel"]} if arguments.get("callLogLevel") is not None else {}
    return await run_workflow(call, workflow, arguments.get("argument"), extra)


async def run_workflow(
    call: ApiCall, workflow: str, argument: Value, extra: Mapping[str, Value] = MappingProxyType({})
) -> Value:
    """Run a workflow outside the backlog and return its decoded result, or None when `call` does not poll.

    Args:
        call: the connector call that sends and waits.
        workflow: `projects/P/locations/L/workflows/W`.
        argument: the value that the execution gets.
        extra: further fields of the Execution.

    Raises:
        WorkflowError: OperationError when the execution failed or was cancelled; ValueError for an argument without
            JSON form; ResponseTypeError for an answer that is no execution; what sending raises.
    """
    try:
        text = encode_json(argument)
    except JsonEncodeError as error:
        raise value_error(f"{_RUN}: argument: {error}") from None
    body = {"argument": text, _NO_BACKLOG: True, **extra}
    execution = await perform(call, _CREATE, {"parent": workflow, "body": body})
    match execution:
        case {"result": str() as result}:
            pass
        case dict() if "result" not in execution:
            return None  # with skip_polling there is no result yet
        case _:
            raise response_type_error("not an execution")
    try:
        return decode_json(result)
    except JsonDecodeError as error:
        raise response_type_error(f"the result of the execution is not JSON: {error}") from None
