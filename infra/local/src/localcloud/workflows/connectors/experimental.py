"""`experimental.executions`: run workflows and wait for their results; deprecated for the connector of the same API.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/experimental.executions/run and .../map. The positional
order, the text of ExecutionError, and that the polls follow a connector's default policy are assumed.
"""

from __future__ import annotations

import asyncio

from localcloud.workflows.connectors.calls import ApiCall, ConnectorParams
from localcloud.workflows.connectors.executions import run_workflow
from localcloud.workflows.errors import WorkflowError, value_error
from localcloud.workflows.functions.arguments import list_of, number_of, text_of, wrong_type
from localcloud.workflows.functions.signatures import BlockingFunction, Function, parameters
from localcloud.workflows.runtime.host import Host
from localcloud.workflows.values import Value

DEFAULT_TIMEOUT_S = 1800.0
MAX_TIMEOUT_S = 31_536_000.0
"""One year, an execution's own limit; the page gives none."""

_ARGUMENT_TYPES = (int, float, bool, str, list, dict)
_FAILED_TAG = "OperationError"
_EXECUTION_ERROR = "ExecutionError"


async def _run(host: Host, workflow_id: Value, location: Value, project_id: Value, argument: Value) -> Value:
    workflow = _workflow_name(host, workflow_id, location, project_id)
    _check_argument("argument", argument)
    return await _result(host, workflow, argument, DEFAULT_TIMEOUT_S)


async def _map(
    host: Host,
    workflow_id: Value,
    arguments: Value,
    timeout: Value,  # noqa: ASYNC109 - Google's name
    location: Value,
    project_id: Value,
) -> Value:
    """Run one execution per argument; all of them end before the first failure in the list's order is raised."""
    workflow = _workflow_name(host, workflow_id, location, project_id)
    items = list_of("arguments", arguments)
    for index, item in enumerate(items):
        _check_argument(f"arguments[{index}]", item)
    seconds = float(number_of("timeout", timeout))
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise value_error(f"argument 'timeout' must be more than 0 and at most {MAX_TIMEOUT_S:.0f} seconds")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(host, workflow, item, seconds)) for item in items]
    outcomes = [task.result() for task in tasks]
    if failures := [outcome for outcome in outcomes if isinstance(outcome, WorkflowError)]:
        # An exhausted limit of this execution must not hide behind a child's failure.
        raise next((failure for failure in failures if not failure.catchable), failures[0])
    return outcomes


async def _outcome(host: Host, workflow: str, argument: Value, timeout_s: float) -> Value | WorkflowError:
    try:
        return await _result(host, workflow, argument, timeout_s)
    except WorkflowError as error:
        return error


async def _result(host: Host, workflow: str, argument: Value, timeout_s: float) -> Value:
    try:
        return await run_workflow(ApiCall(host, ConnectorParams(timeout_s=timeout_s)), workflow, argument)
    except WorkflowError as error:
        if _FAILED_TAG not in error.tags:
            raise
        value = {**error.value, "message": f"{_EXECUTION_ERROR}: {error.value['message']}", "tags": [_EXECUTION_ERROR]}
        raise WorkflowError(value) from None


def _workflow_name(host: Host, workflow_id: Value, location: Value, project_id: Value) -> str:
    project = host.env["GOOGLE_CLOUD_PROJECT_ID"] if project_id is None else text_of("project_id", project_id)
    region = host.env["GOOGLE_CLOUD_LOCATION"] if location is None else text_of("location", location)
    return f"projects/{project}/locations/{region}/workflows/{text_of('workflow_id', workflow_id)}"


def _check_argument(name: str, value: Value) -> None:
    if value is not None and type(value) not in _ARGUMENT_TYPES:
        raise wrong_type(name, value, "an integer, double, boolean, string, list or map")


FUNCTIONS: tuple[Function, ...] = (
    BlockingFunction(
        "experimental.executions.run",
        parameters("workflow_id", location=None, project_id=None, argument=None),
        _run,
    ),
    BlockingFunction(
        "experimental.executions.map",
        parameters("workflow_id", "arguments", timeout=DEFAULT_TIMEOUT_S, location=None, project_id=None),
        _map,
    ),
)
