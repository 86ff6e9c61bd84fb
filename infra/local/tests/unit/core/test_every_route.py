"""Completeness: each route of each server takes each fault. A new route that forgets them fails here."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from localcloud.core.clock import ManualClock
from localcloud.core.faults import FaultPlan
from localcloud.identity.api.rest import ROUTES as METADATA_ROUTES
from localcloud.identity.api.rest import route_of_path
from localcloud.tasks.api.grpc import add_cloud_tasks
from localcloud.tasks.api.routes import ROUTES as TASKS_ROUTES
from localcloud.tasks.api.routes import RPC_ROUTES as TASKS_RPCS
from localcloud.tasks.engine.dispatcher import DISPATCH
from localcloud.workflows.api.grpc import add_services
from localcloud.workflows.api.routes import RPC_METHODS as WORKFLOWS_RPCS

LOCATION = "projects/demo/locations/us-central1"
FLAVOR = {"Metadata-Flavor": "Google"}
WORKFLOW = f"/v1/{LOCATION}/workflows/echo"
EXECUTION = f"{WORKFLOW}/executions/e"

# One request per route. That the table is whole is a test of its own.
WORKFLOWS_REQUESTS = {
    "locations.list": ("GET", "/v1/projects/demo/locations"),
    "locations.get": ("GET", f"/v1/{LOCATION}"),
    "operations.list": ("GET", f"/v1/{LOCATION}/operations"),
    "operations.get": ("GET", f"/v1/{LOCATION}/operations/o"),
    "operations.delete": ("DELETE", f"/v1/{LOCATION}/operations/o"),
    "workflows.list": ("GET", f"/v1/{LOCATION}/workflows"),
    "workflows.create": ("POST", f"/v1/{LOCATION}/workflows?workflowId=w"),
    "workflows.get": ("GET", WORKFLOW),
    "workflows.patch": ("PATCH", WORKFLOW),
    "workflows.delete": ("DELETE", WORKFLOW),
    "workflows.listRevisions": ("GET", f"{WORKFLOW}:listRevisions"),
    "workflows.triggerPubsubExecution": ("POST", f"{WORKFLOW}:triggerPubsubExecution"),
    "executions.list": ("GET", f"{WORKFLOW}/executions"),
    "executions.create": ("POST", f"{WORKFLOW}/executions"),
    "executions.get": ("GET", EXECUTION),
    "executions.cancel": ("POST", f"{EXECUTION}:cancel"),
    "executions.exportData": ("GET", f"{EXECUTION}:exportData"),
    "executions.deleteExecutionHistory": ("POST", f"{EXECUTION}:deleteExecutionHistory"),
    "callbacks.list": ("GET", f"{EXECUTION}/callbacks"),
    "callbacks.send": ("PUT", f"{EXECUTION}/callbacks/c"),
    "stepEntries.list": ("GET", f"{EXECUTION}/stepEntries"),
    "stepEntries.get": ("GET", f"{EXECUTION}/stepEntries/1"),
    "secrets.versions.access": ("GET", "/v1/projects/demo/secrets/s/versions/latest:access"),
}
QUEUE = f"/v2/{LOCATION}/queues/q"
TASKS_REQUESTS = {
    "apps.get": ("GET", "/v1/apps/demo"),
    "locations.list": ("GET", "/v2/projects/demo/locations"),
    "locations.get": ("GET", f"/v2/{LOCATION}"),
    "queues.list": ("GET", f"/v2/{LOCATION}/queues"),
    "queues.create": ("POST", f"/v2/{LOCATION}/queues"),
    "queues.get": ("GET", QUEUE),
    "queues.patch": ("PATCH", QUEUE),
    "queues.delete": ("DELETE", QUEUE),
    "queues.pause": ("POST", f"{QUEUE}:pause"),
    "queues.resume": ("POST", f"{QUEUE}:resume"),
    "queues.purge": ("POST", f"{QUEUE}:purge"),
    "tasks.list": ("GET", f"{QUEUE}/tasks"),
    "tasks.create": ("POST", f"{QUEUE}/tasks"),
    "tasks.get": ("GET", f"{QUEUE}/tasks/t"),
    "tasks.delete": ("DELETE", f"{QUEUE}/tasks/t"),
    "tasks.run": ("POST", f"{QUEUE}/tasks/t:run"),
    "queues.getIamPolicy": ("POST", f"{QUEUE}:getIamPolicy"),
    "queues.setIamPolicy": ("POST", f"{QUEUE}:setIamPolicy"),
    "queues.testIamPermissions": ("POST", f"{QUEUE}:testIamPermissions"),
    "tasks.batchCreate": ("POST", f"{QUEUE}/tasks:batchCreate"),
    "tasks.batchDelete": ("POST", f"{QUEUE}/tasks:batchDelete"),
    "tasks.buffer": ("POST", f"{QUEUE}/tasks/t:buffer"),
    "cmekConfig": ("GET", f"/v2/{LOCATION}/cmekConfig"),
    "operations.get": ("GET", f"/v2/{LOCATION}/operations/o"),
}
METADATA_REQUESTS = {
    "metadata.ping": ("GET", "/"),
    "metadata.certificates": ("GET", "/oauth2/v1/certs"),
    "metadata.project": ("GET", "/computeMetadata/v1/project/project-id"),
    "metadata.instance": ("GET", "/computeMetadata/v1/instance/id"),
    "metadata.universe": ("GET", "/computeMetadata/v1/universe/universe-domain"),
    "metadata.account": ("GET", "/computeMetadata/v1/instance/service-accounts/default/email"),
    "metadata.token": ("GET", "/computeMetadata/v1/instance/service-accounts/default/token"),
    "metadata.identity": ("GET", "/computeMetadata/v1/instance/service-accounts/default/identity?audience=a"),
}
REQUESTS = {"workflows": WORKFLOWS_REQUESTS, "tasks": TASKS_REQUESTS, "metadata": METADATA_REQUESTS}
ONLY_GRPC = frozenset({"GetCmekConfig", "UpdateCmekConfig"})


class Registrations:
    """Takes the place of a gRPC server and keeps the full names of the methods that are registered on it."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Note what a server would answer."""
        for handler in handlers:
            self.paths += handler._method_handlers


def registered_rpcs(server: str) -> list[str]:
    """Return `/SERVICE/METHOD` of everything that a server registers; the APIs are not needed for that."""
    found = Registrations()
    faults = FaultPlan(ManualClock(), ["x"])
    no_api: Any = None
    if server == "tasks":
        add_cloud_tasks(found, no_api, no_api, no_api, faults)
    else:
        add_services(found, no_api, no_api, {}, faults)
    return found.paths


@pytest.mark.parametrize("server", ["workflows", "tasks", "metadata"])
async def test_every_rest_route_fails_on_order(instruments: Any, server: Any) -> None:
    """A teapot that no API knows comes from every route, and each order says that it fired."""
    async with instruments() as cloud:
        answers = {}
        for route, (method, path) in REQUESTS[server].items():
            await cloud.order(server, route=route, fault="fail", code=418)
            answers[route] = (await cloud.call(server, method, path, headers=FLAVOR))[0]
        fired = await cloud.fired(server)

    assert answers == dict.fromkeys(REQUESTS[server], 418)
    assert set(fired) == {1}


@pytest.mark.parametrize("server", ["workflows", "tasks"])
async def test_every_rpc_fails_on_order(instruments: Any, server: Any) -> None:
    """GRPC is asked through the same plan: every method of every service answers the status of the ordered code."""
    codes = {}
    async with instruments() as cloud:
        running = getattr(cloud.platform, server)
        await cloud.order(server, route="*", fault="fail", code=429, transport="grpc", count=1000)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            for path in registered_rpcs(server):
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await channel.unary_unary(path)(b"")
                codes[path] = error.value.code()

    assert len(codes) > 14
    assert set(codes.values()) == {grpc.StatusCode.RESOURCE_EXHAUSTED}


async def test_request_table_holds_every_route_of_every_server(instruments: Any) -> None:
    """The servers say which routes they have; this file must have a request for each."""
    async with instruments() as cloud:
        listed = {server: (await cloud.call(server, "GET", "/_local/routes"))[1]["routes"] for server in REQUESTS}

    assert {server: set(routes) for server, routes in listed.items()} == {
        "workflows": set(WORKFLOWS_REQUESTS),
        "tasks": set(TASKS_REQUESTS) | ONLY_GRPC | {DISPATCH},
        "metadata": set(METADATA_REQUESTS),
    }


@pytest.mark.parametrize(("server", "table"), [("tasks", TASKS_RPCS), ("workflows", WORKFLOWS_RPCS)])
def test_every_rpc_has_the_route_of_its_rest_method(server: Any, table: Any) -> None:
    """One order reaches both transports, since their ids are the same."""
    names = {path.rpartition("/")[2] for path in registered_rpcs(server)}

    assert {table[name] for name in names} <= REQUESTS[server].keys() | ONLY_GRPC


def test_every_path_of_the_metadata_server_has_a_route() -> None:
    """Whatever is asked for maps to one of the listed ids, also what is not served."""
    root = "/computeMetadata/v1"
    paths = ["/", "/elsewhere", "/oauth2/v1/certs", "/oauth2/v3/certs", root, f"{root}/", f"{root}/project/project-id"]
    paths += [f"{root}/{path}" for path in ("instance/id", "universe/universe-domain", "nowhere/at/all", "//")]
    paths += [f"{root}/instance/service-accounts{rest}" for rest in ("", "/", "/a@b/token", "/default/identity")]

    assert {route_of_path(path) for path in paths} <= METADATA_ROUTES


def test_tasks_routes_are_the_ids_of_its_table() -> None:
    """Nothing is listed that no request and no dispatch can meet."""
    assert set(TASKS_REQUESTS) | ONLY_GRPC | {DISPATCH} == TASKS_ROUTES
