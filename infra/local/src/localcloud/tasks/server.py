"""Starts the Cloud Tasks emulator: one store and one dispatcher behind a REST port and a gRPC port."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import aiohttp

from localcloud.core.callers import Callers
from localcloud.core.clock import Clock
from localcloud.core.control import Control
from localcloud.core.faults import FaultPlan
from localcloud.core.google_hosts import google_service
from localcloud.core.rest import RestServer
from localcloud.tasks.api.batches import TaskBatches
from localcloud.tasks.api.buffering import is_buffer_path
from localcloud.tasks.api.methods import CloudTasksApi
from localcloud.tasks.api.policies import QueuePolicies
from localcloud.tasks.api.rest import TasksRest
from localcloud.tasks.api.routes import ROUTES
from localcloud.tasks.engine.dispatcher import DISPATCH, Dispatcher
from localcloud.tasks.engine.target_request import MintAccessToken, MintIdToken, RequestFactory
from localcloud.tasks.model import TOMBSTONE_S, Queue
from localcloud.tasks.store import TaskStore

if TYPE_CHECKING:
    from localcloud.core.rpc import RpcServer

log = logging.getLogger("localcloud.tasks")

# gunicorn closes idle connections after 2 s by default; a connection given up earlier is never found half-closed.
_DISPATCH_KEEP_ALIVE_S = 1.5


class TasksServer:
    """The running emulator; made by `start_tasks_server`."""

    def __init__(
        self,
        *,
        host: str,
        store: TaskStore,
        dispatcher: Dispatcher,
        session: aiohttp.ClientSession,
        rest: RestServer,
        rpc: RpcServer | None,
        grpc_port: int,
        control: Control,
        requests: RequestFactory,
    ) -> None:
        self._requests = requests
        self.control = control
        """What `/_local/` does."""
        self.host = host
        self.port = rest.port
        self.grpc_port = grpc_port
        """0: gRPC is not served."""
        self.store = store
        self.dispatcher = dispatcher
        self._session = session
        self._rest = rest
        self._rpc = rpc

    @property
    def base_url(self) -> str:
        """The REST base URL without a trailing slash."""
        return self._rest.base_url

    def add_rewrites(self, url_rewrites: Mapping[str, str]) -> None:
        """Send tasks for more URL prefixes elsewhere, e.g. to a server that has its port only now."""
        self._requests.add_rewrites(url_rewrites)

    @property
    def requests_under_way(self) -> int:
        """How many dispatches wait for their answer."""
        return self.dispatcher.under_way

    async def stop(self) -> None:
        """Close the ports and cancel what is on its way; the tasks are forgotten."""
        if self._rpc is not None:
            await self._rpc.stop()
        await self._rest.stop()
        await self.dispatcher.stop()
        await self._session.close()


async def start_tasks_server(
    *,
    host: str = "127.0.0.1",
    port: int,
    grpc_port: int | None,
    clock: Clock,
    location: str,
    queues: Sequence[Queue],
    mint_id_token: MintIdToken,
    mint_access_token: MintAccessToken,
    url_rewrites: Mapping[str, str] | None = None,
    tombstone_s: float = TOMBSTONE_S,
    queue_tombstone_s: float = 0.0,
    token_clock: Clock | None = None,
    host_names: Collection[str] = (),
) -> TasksServer:
    """Start the Cloud Tasks emulator.

    Args:
        host: address of both ports.
        port: REST port; 0 picks a free one (then read `.port`).
        grpc_port: gRPC port; 0 picks a free one (then read `.grpc_port`), None opens none and loads nothing of gRPC.
        clock: time of schedules, backoff, rates, deadlines and tombstones.
        location: the region served.
        queues: queues that exist from the start; their names carry the project.
        mint_id_token: `(email, audience)` to an identity token.
        mint_access_token: `(email, scopes)` to an access token.
        url_rewrites: URL prefix of a task to the prefix it is really sent to.
        tombstone_s: how long names of finished tasks stay taken.
        queue_tombstone_s: how long names of deleted queues stay taken; a departure from production when 0.
        token_clock: age of tokens; `clock` unless given.
        host_names: names that the REST port is reached by, beside localhost and addresses.

    Raises:
        OSError: a port is taken.
    """
    store = TaskStore(clock, tombstone_s=tombstone_s, queue_tombstone_s=queue_tombstone_s)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_DISPATCH_KEEP_ALIVE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trace_configs=[_no_redirect_to_google()],
    )
    requests = RequestFactory(
        token_clock or clock,
        mint_id_token=mint_id_token,
        mint_access_token=mint_access_token,
        url_rewrites=url_rewrites or {},
    )
    faults = FaultPlan(clock, ROUTES, route_of={"queue": DISPATCH})
    dispatcher = Dispatcher(store=store, clock=clock, session=session, requests=requests, faults=faults)
    api = CloudTasksApi(store=store, dispatcher=dispatcher, clock=clock, location=location)
    batches = TaskBatches(api, store, clock)

    async def reset() -> None:
        await dispatcher.stop()
        store.reset()
        _add_queues(queues, store, dispatcher)

    callers = Callers(host_names, takes_any_body=is_buffer_path)
    control = Control(faults, clock, reset)
    rest = RestServer(TasksRest(api, batches, store, faults).answer, control, log, callers)
    rpc = None if grpc_port is None else _rpc_server(api, batches, store, faults)
    try:
        await rest.start(host, port)
        bound_grpc_port = 0 if rpc is None or grpc_port is None else await rpc.start(host, grpc_port)
    except BaseException:
        await rest.stop()
        await session.close()
        raise
    _add_queues(queues, store, dispatcher)
    return TasksServer(
        host=host,
        store=store,
        dispatcher=dispatcher,
        session=session,
        rest=rest,
        rpc=rpc,
        control=control,
        requests=requests,
        grpc_port=bound_grpc_port,
    )


def _rpc_server(api: CloudTasksApi, batches: TaskBatches, store: TaskStore, faults: FaultPlan) -> RpcServer:
    # Here, not above: gRPC is an extra of the installation, and takes a moment to load.
    from localcloud.core.rpc import RpcServer
    from localcloud.tasks.api.grpc import add_cloud_tasks

    return RpcServer(lambda server: add_cloud_tasks(server, api, batches, QueuePolicies(store), faults))


def _no_redirect_to_google() -> aiohttp.TraceConfig:
    """Fail an attempt whose target sends it on to a Google API: localcloud sends nothing there."""

    async def refuse(session: object, context: object, redirect: aiohttp.TraceRequestRedirectParams) -> None:  # noqa: ARG001 - aiohttp's signature
        address = redirect.response.headers.get("Location", "")
        if google_service(address) is not None:
            raise ValueError(f"redirected to {address}, and localcloud sends nothing to Google")

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(refuse)
    return config


def _add_queues(queues: Sequence[Queue], store: TaskStore, dispatcher: Dispatcher) -> None:
    for queue in queues:
        store.add_queue(queue)
        dispatcher.queue_changed(queue)
