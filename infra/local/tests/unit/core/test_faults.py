"""What each fault does to a request, seen from the client's side."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.cloud.workflows import executions_v1

from coroutine_tests import until
from localcloud.workflows.api.lists import ListQuery

LOCATION = "projects/demo/locations/us-central1"
EXECUTIONS = f"/v1/{LOCATION}/workflows/echo/executions"
WAIT_FOR_CALLBACK = """
- open:
    call: events.create_callback_endpoint
    args: {http_callback_method: POST}
    result: endpoint
- wait:
    call: events.await_callback
    args: {callback: "${endpoint}", timeout: 60}
    result: first
- again:
    call: events.await_callback
    args: {callback: "${endpoint}", timeout: 60}
    result: second
- answer:
    return: both
"""


async def executions(cloud: Any) -> int:
    """Return how many executions there are."""
    return len(cloud.platform.workflows.store.all_executions())


def callbacks_of(server: Any, execution: str) -> list[dict[str, str]]:
    """Return the open callbacks of an execution on which it waits."""
    found = server.executions.list_callbacks(execution, ListQuery(0, "", "", "")).get("callbacks", [])
    return [callback for callback in found if callback.get("waiters")]


@pytest.mark.parametrize(("fault", "effects"), [("drop-response", 1), ("lose", 0)])
async def test_lost_connection_tells_the_client_nothing(instruments: Any, fault: str, effects: Any) -> None:
    """The client sees the same; whether the execution exists is the difference."""
    async with instruments() as cloud:
        await cloud.order("workflows", route="executions.create", fault=fault)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await cloud.call("workflows", "POST", EXECUTIONS, {})

        assert (await executions(cloud), await cloud.fired("workflows")) == (effects, [1])


async def test_request_delivered_twice_takes_effect_twice(instruments: Any) -> None:
    """One answer, two executions."""
    async with instruments() as cloud:
        await cloud.order("workflows", route="executions.create", fault="deliver-twice")
        status, _ = await cloud.call("workflows", "POST", EXECUTIONS, {})

        assert (status, await executions(cloud)) == (200, 2)


async def test_delay_passes_on_the_servers_clock(instruments: Any) -> None:
    """The request is held until the clock was advanced, then answered as ever."""
    async with instruments() as cloud:
        await cloud.order("workflows", route="executions.create", fault="delay", delay_s=30)
        request = asyncio.create_task(cloud.call("workflows", "POST", EXECUTIONS, {}))
        await until(lambda: 30 in cloud.clock.requested)
        before = await executions(cloud)
        await cloud.call("workflows", "POST", "/_local/time", {"advance_s": 30})

        assert (before, (await request)[0]) == (0, 200)


async def test_faults_of_several_kinds_happen_to_one_request(instruments: Any) -> None:
    """Delivered twice, and the answer is lost."""
    async with instruments() as cloud:
        await cloud.order("workflows", route="executions.create", fault="deliver-twice")
        await cloud.order("workflows", route="executions.*", fault="drop-response")
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await cloud.call("workflows", "POST", EXECUTIONS, {})

        assert (await executions(cloud), await cloud.fired("workflows")) == (2, [1, 1])


async def test_fault_fires_as_often_as_ordered(instruments: Any) -> None:
    """The third request is answered again, and the account is exact."""
    async with instruments() as cloud:
        await cloud.order("workflows", route="executions.list", fault="fail", code=502, count=2)
        codes = [(await cloud.call("workflows", "GET", EXECUTIONS))[0] for _ in range(3)]
        _, plan = await cloud.call("workflows", "GET", "/_local/faults")

    assert codes == [502, 502, 200]
    assert plan["faults"] == [{"route": "executions.list", "fault": "fail", "code": 502, "left": 0, "fired": 2}]


async def test_fault_of_another_workflow_does_not_fire(instruments: Any) -> None:
    """An order narrowed to a workflow leaves the others alone, also one whose name begins alike."""
    async with instruments() as cloud:
        await cloud.order("workflows", route="executions.*", fault="fail", workflow="ech")
        status, _ = await cloud.call("workflows", "GET", EXECUTIONS)

        assert (status, await cloud.fired("workflows")) == (200, [0])


async def test_grpc_answer_is_dropped_after_the_effect(instruments: Any) -> None:
    """Google's client sees an unavailable server, and the execution exists."""
    async with instruments() as cloud:
        await cloud.order("workflows", route="executions.create", fault="drop-response", transport="grpc")
        target = f"127.0.0.1:{cloud.platform.workflows.grpc_port}"
        async with grpc.aio.insecure_channel(target) as channel:
            create = channel.unary_unary(
                "/google.cloud.workflows.executions.v1.Executions/CreateExecution",
                request_serializer=executions_v1.CreateExecutionRequest.serialize,
            )
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await create(executions_v1.CreateExecutionRequest(parent=f"{LOCATION}/workflows/echo"))

        assert (error.value.code(), await executions(cloud)) == (grpc.StatusCode.UNAVAILABLE, 1)


async def test_callback_delivered_twice_is_heard_twice(instruments: Any, tmp_path: Path) -> None:
    """A workflow that waits for two callbacks gets both from one request."""
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "two.yaml").write_text(WAIT_FOR_CALLBACK)
    async with instruments() as cloud:
        server = cloud.platform.workflows
        name = server.executions.create(f"{LOCATION}/workflows/two", {})["name"]
        await until(lambda: bool(callbacks_of(server, name)))
        await cloud.order("workflows", route="callbacks.send", fault="deliver-twice", workflow="two")
        await cloud.call("workflows", "POST", f"/v1/{callbacks_of(server, name)[0]['name']}", {})
        await until(lambda: not server.store.execution(name).is_live)

        assert server.store.execution(name).result == '"both"'


async def test_metadata_token_fails_without_the_flavor_of_an_api(instruments: Any) -> None:
    """A failing metadata server answers plain text, as the real one does."""
    async with instruments() as cloud:
        await cloud.order("metadata", route="metadata.token", fault="fail", code=500)
        path = "/computeMetadata/v1/instance/service-accounts/default/token"
        headers = {"Metadata-Flavor": "Google"}
        answers = [await cloud.call("metadata", "GET", path, headers=headers) for _ in range(2)]

    assert answers[0] == (500, "Ordered fault: fail")
    assert answers[1][0] == 200
