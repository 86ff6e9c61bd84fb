"""The gRPC surface: Executions, Workflows, Operations and Locations around the same JSON methods as REST.

The message types come with google-cloud-workflows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.cloud.location import locations_pb2
from google.cloud.workflows import executions_v1, executions_v1beta
from google.cloud.workflows_v1.types import workflows as workflow_types
from google.cloud.workflows_v1beta.types import workflows as beta_workflow_types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from localcloud.core.faults import FaultPlan
from localcloud.core.google_errors import invalid_argument
from localcloud.core.json_values import Json
from localcloud.core.rpc import unary
from localcloud.workflows.api.executions import ExecutionsApi
from localcloud.workflows.api.lists import ListQuery
from localcloud.workflows.api.resources import in_version, to_wire
from localcloud.workflows.api.routes import RPC_METHODS
from localcloud.workflows.api.workflows import WorkflowsApi

_LOG = logging.getLogger("localcloud.workflows")

Method = tuple[Any, Any, Callable[[Json], Json]]
"""Request type, response type, and the method on JSON."""


def add_services(
    server: grpc.aio.Server,
    workflows: WorkflowsApi,
    executions: ExecutionsApi,
    project_aliases: Mapping[str, str],
    faults: FaultPlan,
) -> None:
    """Register all services on a server that has not started.

    Args:
        server: the server.
        workflows: the Workflows API.
        executions: the Executions API.
        project_aliases: project number to project id; names may use either.
        faults: what is ordered for a route happens here too.
    """
    services = {
        "google.cloud.workflows.executions.v1.Executions": _executions_methods(executions, executions_v1),
        "google.cloud.workflows.executions.v1beta.Executions": _executions_methods(executions, executions_v1beta),
        "google.cloud.workflows.v1.Workflows": _workflows_methods(workflows, workflow_types),
        "google.cloud.workflows.v1beta.Workflows": _beta(_workflows_methods(workflows, beta_workflow_types)),
        "google.longrunning.Operations": _operations_methods(workflows),
        "google.cloud.location.Locations": _locations_methods(workflows),
    }
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                service,
                {
                    name: _handler(RPC_METHODS[name], method, project_aliases, faults)
                    for name, method in methods.items()
                },
            )
            for service, methods in services.items()
        ]
    )


def _executions_methods(api: ExecutionsApi, types: Any) -> dict[str, Method]:
    """Return the methods with the message types of one version; the versions are alike in what both have."""
    e = types
    return {
        "CreateExecution": (
            e.CreateExecutionRequest,
            e.Execution,
            lambda r: api.create(_need(r, "parent"), r.get("execution", {})),
        ),
        "GetExecution": (e.GetExecutionRequest, e.Execution, lambda r: api.get(_need(r, "name"), r.get("view", ""))),
        "CancelExecution": (e.CancelExecutionRequest, e.Execution, lambda r: api.cancel(_need(r, "name"))),
        "ListExecutions": (
            e.ListExecutionsRequest,
            e.ListExecutionsResponse,
            lambda r: api.list(_need(r, "parent"), _page(r), r.get("view", "")),
        ),
    }


def _workflows_methods(api: WorkflowsApi, types: Any) -> dict[str, Method]:
    w, operation = types, operations_pb2.Operation
    methods: dict[str, Method] = {
        "CreateWorkflow": (
            w.CreateWorkflowRequest,
            operation,
            lambda r: api.create(_need(r, "parent"), r.get("workflowId", ""), r.get("workflow", {})),
        ),
        "GetWorkflow": (w.GetWorkflowRequest, w.Workflow, lambda r: api.get(_need(r, "name"), r.get("revisionId", ""))),
        "ListWorkflows": (
            w.ListWorkflowsRequest,
            w.ListWorkflowsResponse,
            lambda r: api.list(_need(r, "parent"), _page(r)),
        ),
        "UpdateWorkflow": (
            w.UpdateWorkflowRequest,
            operation,
            lambda r: api.patch(_need(r.get("workflow", {}), "name"), r.get("updateMask", ""), r.get("workflow", {})),
        ),
        "DeleteWorkflow": (w.DeleteWorkflowRequest, operation, lambda r: api.delete(_need(r, "name"))),
    }
    # v1beta has no revisions.
    if hasattr(w, "ListWorkflowRevisionsRequest"):
        methods["ListWorkflowRevisions"] = (
            w.ListWorkflowRevisionsRequest,
            w.ListWorkflowRevisionsResponse,
            lambda r: api.list_revisions(_need(r, "name"), _page(r)),
        )
    return methods


def _beta(methods: dict[str, Method]) -> dict[str, Method]:
    """Return the methods with operations whose metadata and response are v1beta messages, as the client expects."""

    def in_beta(call: Callable[[Json], Json]) -> Callable[[Json], Json]:
        return lambda request: in_version(call(request), "v1beta")

    return {name: (request, response, in_beta(call)) for name, (request, response, call) in methods.items()}


def _operations_methods(api: WorkflowsApi) -> dict[str, Method]:
    o = operations_pb2
    return {
        "GetOperation": (o.GetOperationRequest, o.Operation, lambda r: api.get_operation(_need(r, "name"))),
        "ListOperations": (
            o.ListOperationsRequest,
            o.ListOperationsResponse,
            lambda r: api.list_operations(_need(r, "name"), _page(r)),
        ),
        "DeleteOperation": (
            o.DeleteOperationRequest,
            empty_pb2.Empty,
            lambda r: api.delete_operation(_need(r, "name")),
        ),
    }


def _locations_methods(api: WorkflowsApi) -> dict[str, Method]:
    loc = locations_pb2
    return {
        "ListLocations": (
            loc.ListLocationsRequest,
            loc.ListLocationsResponse,
            lambda r: api.list_locations(_project(r)),
        ),
        "GetLocation": (
            loc.GetLocationRequest,
            loc.Location,
            lambda r: api.get_location(*_place(r)),
        ),
    }


def _page(request: Json) -> ListQuery:
    return ListQuery(
        int(request.get("pageSize", 0)),
        request.get("pageToken", ""),
        request.get("filter", ""),
        request.get("orderBy", ""),
    )


def _need(request: Json, field: str) -> str:
    if field not in request:
        raise invalid_argument(f"Required field '{field}' is missing")
    return str(request[field])


def _project(request: Json) -> str:
    match _need(request, "name").split("/"):
        case ["projects", project]:
            return project
    raise invalid_argument("A name projects/PROJECT is wanted")


def _place(request: Json) -> tuple[str, str]:
    match _need(request, "name").split("/"):
        case ["projects", project, "locations", location]:
            return project, location
    raise invalid_argument("A name projects/PROJECT/locations/LOCATION is wanted")


def _handler(
    route: str, method: Method, project_aliases: Mapping[str, str], faults: FaultPlan
) -> grpc.RpcMethodHandler:
    request_type, response_type, call = method

    async def answer(fields: Json) -> Json:
        _apply_aliases(fields, project_aliases)
        answered: Json = to_wire(await faults.run(route, _resource(fields), "grpc", lambda: call(fields)))
        return answered

    return unary(request_type, response_type, answer, _LOG)


def _resource(fields: Json) -> str:
    """Return the name of what a request is about."""
    return str(fields.get("name") or fields.get("parent") or fields.get("workflow", {}).get("name", ""))


def _apply_aliases(fields: Json, project_aliases: Mapping[str, str]) -> None:
    """Replace a project number by the project id in the request's resource names, in place."""
    for key, value in fields.items():
        match value:
            case str() if key in ("name", "parent") and value.startswith("projects/"):
                _, project, *rest = value.split("/")
                fields[key] = "/".join(("projects", project_aliases.get(project, project), *rest))
            case dict():
                _apply_aliases(value, project_aliases)
