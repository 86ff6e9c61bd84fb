"""The clients of Cloud Tasks and Workflows, built once per process; an emulator changes only the endpoint.

`GCE_METADATA_HOST` is read by Google's libraries themselves, the endpoints come from the settings. The REST transport
is used for Cloud Tasks; the Executions client exists only for gRPC.
"""

from __future__ import annotations

import threading
from typing import Any

import google.auth
import grpc
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2
from google.cloud.workflows import executions_v1
from google.cloud.workflows.executions_v1.services.executions.transports import ExecutionsGrpcTransport

from chassis.auth.oidc import SingleTry
from chassis.settings import Settings

_METADATA_TIMEOUT_S = 3.0


def new_tasks_client(settings: Settings) -> Any:
    """Return a Cloud Tasks client over REST."""
    if not settings.cloud_tasks_emulator_host:
        return tasks_v2.CloudTasksClient(transport="rest")
    return tasks_v2.CloudTasksClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": f"http://{settings.cloud_tasks_emulator_host}"},
    )


def new_executions_client(settings: Settings) -> Any:
    """Return a Workflows Executions client over gRPC."""
    if not settings.workflows_emulator_host:
        return executions_v1.ExecutionsClient()
    channel = grpc.insecure_channel(settings.workflows_emulator_host)
    return executions_v1.ExecutionsClient(transport=ExecutionsGrpcTransport(channel=channel))


class _AccessToken(requests.auth.AuthBase):
    """Adds the service's own access token to a request.

    google-auth's `AuthorizedSession` would also ask iamcredentials.googleapis.com where the account may be used, in a
    thread and with retries. That is for Google's regional endpoints; here it is one more thing that can hang.
    """

    def __init__(self) -> None:
        self._credentials, _ = google.auth.default(
            scopes=["https://www.googleapis.com/auth/cloud-platform"], request=SingleTry(_METADATA_TIMEOUT_S)
        )
        self._lock = threading.Lock()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token into the request, a fresh one if need be."""
        with self._lock:
            if not self._credentials.valid:
                self._credentials.refresh(SingleTry(_METADATA_TIMEOUT_S))
            request.headers["Authorization"] = f"Bearer {self._credentials.token}"
        return request


def new_authorized_session() -> requests.Session:
    """Return a session that carries the service's own access token: what a Workflows callback URL asks for."""
    session = requests.Session()
    # Proxies and .netrc of the environment must not see the token, or replace it.
    session.trust_env = False
    session.auth = _AccessToken()
    return session
