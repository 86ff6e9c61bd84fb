"""The clients of Cloud Tasks and Workflows, built once per process; an emulator changes only the endpoint.

They wait no longer than `silence` says for a service that says nothing, nor for a token. `GCE_METADATA_HOST` is read by
Google's libraries themselves, the endpoints come from the settings. The REST transport is used for Cloud Tasks; the
Executions client exists only for gRPC.
"""

from __future__ import annotations

from typing import Any

import grpc
import requests
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import tasks_v2
from google.cloud.workflows import executions_v1
from google.cloud.workflows.executions_v1.services.executions.transports import ExecutionsGrpcTransport

from chassis.google.credentials import ServiceCredentials
from chassis.google.silence import GRPC_OPTIONS, bound
from chassis.settings import Settings


def new_tasks_client(settings: Settings) -> Any:
    """Return a Cloud Tasks client over REST."""
    client: Any
    if settings.cloud_tasks_emulator_host:
        client = tasks_v2.CloudTasksClient(
            transport="rest",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": f"http://{settings.cloud_tasks_emulator_host}"},
        )
    else:
        client = tasks_v2.CloudTasksClient(transport="rest", credentials=ServiceCredentials())
    # The library takes no session of ours.
    bound(client.transport._session)  # noqa: SLF001
    return client


def new_executions_client(settings: Settings) -> Any:
    """Return a Workflows Executions client over gRPC."""
    if settings.workflows_emulator_host:
        channel = grpc.insecure_channel(settings.workflows_emulator_host, options=GRPC_OPTIONS)
    else:
        channel = ExecutionsGrpcTransport.create_channel(credentials=ServiceCredentials(), options=GRPC_OPTIONS)
    return executions_v1.ExecutionsClient(transport=ExecutionsGrpcTransport(channel=channel))


def new_authorized_session() -> requests.Session:
    """Return a session that carries the service's own access token: what a Workflows callback URL asks for."""
    return bound(AuthorizedSession(ServiceCredentials()))
