"""Starts the Workflows emulator: REST and gRPC on two ports, one store, and the folder of workflows it deploys."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from localcloud.core.callers import Callers
from localcloud.core.clock import Clock
from localcloud.core.control import Control
from localcloud.core.faults import FaultPlan
from localcloud.core.google_hosts import own_address
from localcloud.core.rest import Answer, RestServer
from localcloud.traces.rest import TracesRest
from localcloud.traces.store import TraceStore
from localcloud.workflows.api.executions import ExecutionsApi
from localcloud.workflows.api.rest import WorkflowsRest
from localcloud.workflows.api.routes import is_callback_path, routes
from localcloud.workflows.api.secrets import SecretsApi
from localcloud.workflows.api.workflows import WorkflowsApi
from localcloud.workflows.connectors.mocks import MockedHttp, Mocks
from localcloud.workflows.connectors.registry import Connectors
from localcloud.workflows.engine.callbacks import Callbacks
from localcloud.workflows.engine.executor import Executor
from localcloud.workflows.engine.http_client import AiohttpCaller, Endpoints
from localcloud.workflows.folder import WorkflowFolder
from localcloud.workflows.loader import load_program
from localcloud.workflows.pages.handlers import Pages
from localcloud.workflows.runtime.host import TokenSource
from localcloud.workflows.runtime.interpreter import run_to_json
from localcloud.workflows.store import Store

if TYPE_CHECKING:
    from localcloud.core.rpc import RpcServer

_LOG = logging.getLogger("localcloud.workflows")

OWN_SERVICES = ("workflows", "workflowexecutions", "secretmanager")
"""Google services that this server answers itself."""


class WorkflowsServer:
    """The running emulator; made by `start_workflows_server`.

    `workflows` and `executions` are the APIs as JSON methods, for a runner in the same process.
    """

    def __init__(
        self, *, host: str, store: Store, executor: Executor, workflows: WorkflowsApi, executions: ExecutionsApi
    ) -> None:
        self.host = host
        self.grpc_port = 0
        """0: gRPC is not served."""
        self._rest: RestServer | None = None
        self._http: AiohttpCaller | None = None
        self.control: Control
        """What `/_local/` does."""
        self.store = store
        self.workflows = workflows
        self.executions = executions
        self.traces = TraceStore()
        """Spans that programs have sent."""
        self._executor = executor
        self._cleanup = contextlib.AsyncExitStack()
        self.folder: WorkflowFolder | None = None
        """The watched folder."""

    @property
    def port(self) -> int:
        """The REST port; 0 before it is open."""
        return self._rest.port if self._rest is not None else 0

    @property
    def requests_under_way(self) -> int:
        """How many requests of executions wait for their answer."""
        return self._http.under_way if self._http is not None else 0

    @property
    def base_url(self) -> str:
        """The REST base URL, without a trailing slash (gcloud's endpoint overrides need one appended)."""
        return f"http://{own_address(self.host)}:{self.port}"

    async def stop(self) -> None:
        """Close the ports and cancel running executions."""
        await self._cleanup.aclose()

    async def start(
        self, *, rest: RestServer, port: int, rpc: RpcServer | None, grpc_port: int | None, http: AiohttpCaller
    ) -> None:
        """Open the ports; called once, by `start_workflows_server`.

        Raises:
            OSError: a port is taken.
        """
        await http.start()
        self._http = http
        # Undone in reverse: no new requests first, then no executions, then no connections of theirs.
        self._cleanup.push_async_callback(http.stop)
        self._cleanup.push_async_callback(self._executor.stop)
        await rest.start(self.host, port)
        self._rest = rest
        self._cleanup.push_async_callback(rest.stop)
        if rpc is not None and grpc_port is not None:
            self.grpc_port = await rpc.start(self.host, grpc_port)
            self._cleanup.push_async_callback(rpc.stop)

    async def reset(self) -> None:
        """Cancel and forget everything, then deploy the folder again: the state of a fresh start."""
        while self._executor.running_count:
            await self._executor.stop()
        self.store.reset()
        self.traces.reset()
        if self.folder is not None:
            self.folder.forget()
            self.folder.deploy_changed()

    def watch(self, folder: WorkflowFolder) -> None:
        """Deploy a folder now and keep watching it until `stop`."""
        self.folder = folder
        folder.deploy_changed()
        task = asyncio.get_running_loop().create_task(folder.watch(), name="workflow-folder")
        self._cleanup.push_async_callback(_cancelled, task)


async def start_workflows_server(
    *,
    host: str = "127.0.0.1",
    port: int,
    grpc_port: int | None,
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
    folder_clock: Clock | None = None,
    host_names: Collection[str] = (),
    mocks: Mocks | None = None,
    allows_unemulated: bool = False,
) -> WorkflowsServer:
    """Start the Workflows emulator and deploy `workflows_dir`.

    Args:
        host: address of both ports.
        port: REST port; 0 picks a free one (then read `.port`).
        grpc_port: gRPC port; 0 picks a free one (then read `.grpc_port`), None opens none and loads nothing of gRPC.
        clock: source of time for executions, retries and timestamps.
        project: project id, used for directory deploys, `locations` and as what `project_number` means in names.
        project_number: digits.
        location: region of directory deploys.
        service_account: email that workflows without a service account run as.
        token_source: service account email to its tokens; `IdentityServer.tokens`.
        endpoints: where other Google services live locally, e.g. `{"cloudtasks": "http://127.0.0.1:8123",
            "storage": "http://127.0.0.1:4443"}`; `workflows`, `workflowexecutions` and `secretmanager` point at this
            server unless given. A service that is not named here cannot be reached by executions.
        workflows_dir: every `*.yaml` in it is deployed under its stem, at start and when it changes.
        user_env: workflow id to user environment variables, for directory deploys.
        secrets_file: YAML or JSON map of secret id to text, or to a map of version to text.
        folder_clock: paces the look for changed files; `clock` unless given.
        mocks: calls whose answers are given; may grow later.
        allows_unemulated: connectors without an address deploy, and fail when they are called.
        host_names: names that the REST port is reached by, beside localhost and addresses.

    Raises:
        OSError: a port is taken, or `workflows_dir` is no folder.
    """
    store = Store()
    known_endpoints = dict(endpoints)
    http = AiohttpCaller(known_endpoints, clock)
    mocks = mocks or Mocks()
    own = frozenset(OWN_SERVICES) - known_endpoints.keys()
    connectors = Connectors(known_endpoints, mocks, allows_unemulated=allows_unemulated, own=own)
    # The server is named before it exists: callback URLs need its port, which is known once it listens.
    server: WorkflowsServer
    callbacks = Callbacks(clock, lambda: server.base_url)
    executor = Executor(
        store=store,
        clock=clock,
        callbacks=callbacks,
        http=MockedHttp(http, mocks),
        token_source=token_source,
        connectors=connectors,
        project_number=project_number,
        run=run_to_json,
    )
    workflows = WorkflowsApi(
        store=store,
        clock=clock,
        executor=executor,
        load=load_program,
        connectors=connectors,
        default_account=service_account,
        home=(project, location),
    )
    executions = ExecutionsApi(store=store, clock=clock, executor=executor, callbacks=callbacks)
    server = WorkflowsServer(host=host, store=store, executor=executor, workflows=workflows, executions=executions)
    folder = None
    if workflows_dir is not None:
        parent = f"projects/{project}/locations/{location}"
        folder = WorkflowFolder(
            workflows_dir,
            parent=parent,
            api=workflows,
            clock=folder_clock or clock,
            user_env={} if user_env is None else user_env,
        )
    aliases = {project_number: project}
    table = routes(workflows, executions, SecretsApi(secrets_file))
    faults = FaultPlan(clock, [route.method for route in table])
    pages = Pages(store=store, executions=executions, traces=server.traces, clock=clock, folder=lambda: server.folder)
    answer = _by_path(pages, TracesRest(server.traces), WorkflowsRest(table, aliases, faults).answer)
    callers = Callers(host_names, is_page=Pages.have, takes_any_body=is_callback_path)
    server.control = Control(faults, clock, server.reset)
    rest = RestServer(answer, server.control, _LOG, callers)
    rpc = None if grpc_port is None else _rpc_server(workflows, executions, aliases, faults)
    try:
        await server.start(rest=rest, port=port, rpc=rpc, grpc_port=grpc_port, http=http)
    except BaseException:
        await server.stop()
        raise
    for service in OWN_SERVICES:
        known_endpoints.setdefault(service, server.base_url)
    if folder is not None:
        server.watch(folder)
    _LOG.info("workflows.listening %s grpc %d", server.base_url, server.grpc_port)
    return server


def _rpc_server(
    workflows: WorkflowsApi, executions: ExecutionsApi, aliases: Mapping[str, str], faults: FaultPlan
) -> RpcServer:
    # Here, not above: gRPC is an extra of the installation, and takes a moment to load.
    from localcloud.core.rpc import RpcServer
    from localcloud.workflows.api.grpc import add_services

    return RpcServer(lambda server: add_services(server, workflows, executions, aliases, faults))


def _by_path(pages: Pages, traces: TracesRest, api: Answer) -> Answer:
    """Return what answers on the REST port: pages and traces on their paths, the APIs of Workflows on all others."""

    async def answer(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        if pages.have(request.path):
            return await pages.answer(request, body)
        if traces.have(request.method, request.path):
            return await traces.answer(request, body)
        return await api(request, body)

    return answer


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
