"""Google's own clients, made for the servers of this machine."""

from __future__ import annotations

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2, workflows_v1
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.cloud.workflows import executions_v1
from google.cloud.workflows.executions_v1.services.executions.transports import ExecutionsGrpcTransport
from google.cloud.workflows_v1.services.workflows.transports import WorkflowsGrpcTransport


def workflows(transport: str, url: str, address: str) -> workflows_v1.WorkflowsClient:
    """Return the client of Workflows over `rest` or `grpc`."""
    if transport == "grpc":
        return workflows_v1.WorkflowsClient(transport=WorkflowsGrpcTransport(channel=grpc.insecure_channel(address)))
    return workflows_v1.WorkflowsClient(
        transport="rest", client_options={"api_endpoint": url}, credentials=AnonymousCredentials()
    )


def executions(address: str) -> executions_v1.ExecutionsClient:
    """Return the client of Workflow Executions."""
    return executions_v1.ExecutionsClient(transport=ExecutionsGrpcTransport(channel=grpc.insecure_channel(address)))


def tasks(transport: str, url: str, address: str) -> tasks_v2.CloudTasksClient:
    """Return the client of Cloud Tasks over `rest` or `grpc`."""
    if transport == "grpc":
        return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(address)))
    return tasks_v2.CloudTasksClient(
        transport="rest", client_options={"api_endpoint": url}, credentials=AnonymousCredentials()
    )
