"""Cloud Tasks v2 over gRPC: Google's own message types around the methods of `CloudTasksApi`.

Each gRPC method calls the same method as REST does.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.cloud import tasks_v2
from google.cloud.location import locations_pb2
from google.cloud.tasks_v2.types import (
    BatchCreateTasksRequest,
    BatchDeleteTasksRequest,
    CmekConfig,
    GetCmekConfigRequest,
    UpdateCmekConfigRequest,
)
from google.iam.v1 import iam_policy_pb2, policy_pb2  # type: ignore[import-untyped]
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from localcloud.core.faults import FaultPlan
from localcloud.core.json_values import Json
from localcloud.core.rpc import unary
from localcloud.tasks.api.batches import TaskBatches
from localcloud.tasks.api.methods import CloudTasksApi
from localcloud.tasks.api.policies import QueuePolicies
from localcloud.tasks.api.routes import RPC_ROUTES

log = logging.getLogger("localcloud.tasks")

_SERVICE = "google.cloud.tasks.v2.CloudTasks"
_OPERATIONS = "google.longrunning.Operations"
_LOCATIONS = "google.cloud.location.Locations"

Call = Callable[[Json], Json]
FaultyCall = Callable[[Json], Awaitable[Json]]


def add_cloud_tasks(
    server: grpc.aio.Server, api: CloudTasksApi, batches: TaskBatches, policies: QueuePolicies, faults: FaultPlan
) -> None:
    """Register the services CloudTasks, Operations and Locations on a gRPC server, with what is ordered for them."""
    queue, task = tasks_v2.Queue, tasks_v2.Task
    empty = empty_pb2.Empty
    methods: dict[str, tuple[Any, Any, Call]] = {
        "ListQueues": (
            tasks_v2.ListQueuesRequest,
            tasks_v2.ListQueuesResponse,
            lambda r: api.list_queues(
                r.get("parent", ""),
                filter_text=r.get("filter", ""),
                page_size=r.get("pageSize", 0),
                page_token=r.get("pageToken", ""),
            ),
        ),
        "GetQueue": (tasks_v2.GetQueueRequest, queue, lambda r: api.get_queue(r.get("name", ""))),
        "CreateQueue": (
            tasks_v2.CreateQueueRequest,
            queue,
            lambda r: api.create_queue(r.get("parent", ""), r.get("queue", {})),
        ),
        "UpdateQueue": (
            tasks_v2.UpdateQueueRequest,
            queue,
            lambda r: api.update_queue(
                r.get("queue", {}).get("name", ""), r.get("queue", {}), mask=r.get("updateMask", "")
            ),
        ),
        "DeleteQueue": (tasks_v2.DeleteQueueRequest, empty, lambda r: api.delete_queue(r.get("name", ""))),
        "PurgeQueue": (tasks_v2.PurgeQueueRequest, queue, lambda r: api.purge_queue(r.get("name", ""))),
        "PauseQueue": (tasks_v2.PauseQueueRequest, queue, lambda r: api.pause_queue(r.get("name", ""))),
        "ResumeQueue": (tasks_v2.ResumeQueueRequest, queue, lambda r: api.resume_queue(r.get("name", ""))),
        "ListTasks": (
            tasks_v2.ListTasksRequest,
            tasks_v2.ListTasksResponse,
            lambda r: api.list_tasks(
                r.get("parent", ""),
                view=r.get("responseView"),
                page_size=r.get("pageSize", 0),
                page_token=r.get("pageToken", ""),
            ),
        ),
        "GetTask": (
            tasks_v2.GetTaskRequest,
            task,
            lambda r: api.get_task(r.get("name", ""), view=r.get("responseView")),
        ),
        "CreateTask": (tasks_v2.CreateTaskRequest, task, lambda r: api.create_task(r.get("parent", ""), r)),
        "DeleteTask": (tasks_v2.DeleteTaskRequest, empty, lambda r: api.delete_task(r.get("name", ""))),
        "RunTask": (
            tasks_v2.RunTaskRequest,
            task,
            lambda r: api.run_task(r.get("name", ""), view=r.get("responseView")),
        ),
        "BatchCreateTasks": (
            BatchCreateTasksRequest,
            operations_pb2.Operation,
            lambda r: batches.create(r.get("parent", ""), r),
        ),
        "BatchDeleteTasks": (
            BatchDeleteTasksRequest,
            operations_pb2.Operation,
            lambda r: batches.delete(r.get("parent", ""), r),
        ),
    }
    methods |= {
        "GetIamPolicy": (
            iam_policy_pb2.GetIamPolicyRequest,
            policy_pb2.Policy,
            lambda r: policies.get(r.get("resource", "")),
        ),
        "SetIamPolicy": (
            iam_policy_pb2.SetIamPolicyRequest,
            policy_pb2.Policy,
            lambda r: policies.set(r.get("resource", ""), r),
        ),
        "TestIamPermissions": (
            iam_policy_pb2.TestIamPermissionsRequest,
            iam_policy_pb2.TestIamPermissionsResponse,
            lambda r: policies.test(r.get("resource", ""), r),
        ),
    }
    refused = {
        "GetCmekConfig": (GetCmekConfigRequest, CmekConfig),
        "UpdateCmekConfig": (UpdateCmekConfigRequest, CmekConfig),
    }
    for name, (request, response) in refused.items():
        methods[name] = (request, response, _refusal(api, name))
    locations: dict[str, tuple[Any, Any, Call]] = {
        "ListLocations": (
            locations_pb2.ListLocationsRequest,
            locations_pb2.ListLocationsResponse,
            lambda r: api.list_locations(r.get("name", "")),
        ),
        "GetLocation": (
            locations_pb2.GetLocationRequest,
            locations_pb2.Location,
            lambda r: api.get_location(r.get("name", "")),
        ),
    }
    operations: dict[str, tuple[Any, Any, Call]] = {
        "GetOperation": (
            operations_pb2.GetOperationRequest,
            operations_pb2.Operation,
            lambda r: batches.operation(r.get("name", "")),
        ),
    }
    for service, table in ((_SERVICE, methods), (_OPERATIONS, operations), (_LOCATIONS, locations)):
        handlers = {
            name: unary(request, response, _faulty(call, RPC_ROUTES[name], faults), log)
            for name, (request, response, call) in table.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def _refusal(api: CloudTasksApi, method: str) -> Call:
    def refuse(_: Json) -> Json:
        raise api.refuse(method)

    return refuse


def _faulty(call: Call, route: str, faults: FaultPlan) -> FaultyCall:
    def answer(request: Json) -> Awaitable[Json]:
        named = request.get("name") or request.get("parent") or request.get("resource")
        name = named or request.get("queue", {}).get("name", "")
        return faults.run(route, name, "grpc", lambda: call(request))

    return answer
