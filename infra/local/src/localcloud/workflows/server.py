"""Starts the Workflows emulator: REST and gRPC on two ports, one store, and the folder of workflows it deploys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from localcloud.clock import Clock
from localcloud.workflows.runtime.host import TokenSource

Endpoints = Mapping[str, str]
"""Google service name to local base URL without a trailing slash: `{"cloudtasks": "http://127.0.0.1:8123"}`."""


class WorkflowsServer:
    """The running emulator; made by `start_workflows_server`."""

    def __init__(self, *, host: str, port: int, grpc_port: int) -> None:
        self.host = host
        self.port = port
        self.grpc_port = grpc_port

    @property
    def base_url(self) -> str:
        """The REST base URL, without a trailing slash (gcloud's endpoint overrides need one appended)."""
        return f"http://{self.host}:{self.port}"

    async def stop(self) -> None:
        """Cancel running executions and close both ports."""
        raise NotImplementedError("the server is being written")


async def start_workflows_server(
    *,
    host: str = "127.0.0.1",
    port: int,
    grpc_port: int,
    clock: Clock,
    project: str,
    project_number: str,
    location: str,
    service_account: str,
    token_source: Callable[[str], TokenSource],
    endpoints: Endpoints,
    workflows_dir: Path | None = None,
    user_env: Mapping[str, Mapping[str, str]] | None = None,
    secrets_file: Path | None = None,
) -> WorkflowsServer:
    """Start the Workflows emulator and deploy `workflows_dir`.

    Args:
        host: address of both ports.
        port: REST port; 0 picks a free one (then read `.port`).
        grpc_port: gRPC port; 0 picks a free one (then read `.grpc_port`).
        clock: source of time for executions, retries and timestamps.
        project: project id, used for directory deploys, `locations` and as what `project_number` means in names.
        project_number: digits.
        location: region of directory deploys.
        service_account: email that workflows without a service account run as.
        token_source: service account email to its tokens; `IdentityServer.tokens`.
        endpoints: where other Google services live locally, e.g. `cloudtasks`, `storage`; `workflows`,
            `workflowexecutions` and `secretmanager` point at this server unless given.
        workflows_dir: every `*.yaml` in it is deployed under its stem, at start and when it changes.
        user_env: workflow id to user environment variables, for directory deploys.
        secrets_file: YAML or JSON map of secret id to text, or to a map of version to text.

    Raises:
        OSError: a port is taken.
    """
    raise NotImplementedError("the server is being written")
