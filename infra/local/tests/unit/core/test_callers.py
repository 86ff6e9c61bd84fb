"""No web page drives localcloud: whose requests each port answers, by Host, Origin and the type of the body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

REST_PORTS = ("workflows", "tasks", "metadata", "scheduler")
LOCATION = "projects/demo/locations/us-central1"

Start = Callable[..., AbstractAsyncContextManager[Any]]


def foreign_requests() -> Iterator[Any]:
    """Yield what browsers send for a page of another site, with what is wrong about it."""
    own = "127.0.0.1"
    yield pytest.param({"Host": "evil.example"}, "HOST_NOT_LOCAL", id="rebound name")
    yield pytest.param({"Host": "evil.example:80"}, "HOST_NOT_LOCAL", id="rebound name with port")
    yield pytest.param({"Host": "127.0.0.1.evil.example"}, "HOST_NOT_LOCAL", id="name that begins like an address")
    yield pytest.param({"Host": "localhost.evil.example"}, "HOST_NOT_LOCAL", id="name that begins like localhost")
    yield pytest.param({"Host": "evillocalhost"}, "HOST_NOT_LOCAL", id="name that ends like localhost")
    yield pytest.param({"Host": "localhost@evil.example"}, "HOST_NOT_LOCAL", id="user in front of the name")
    yield pytest.param({"Host": "[::1"}, "HOST_NOT_LOCAL", id="no host at all")
    yield pytest.param({"Host": ""}, "HOST_NOT_LOCAL", id="empty host")
    yield pytest.param({"Host": own, "Origin": "https://evil.example"}, "FOREIGN_ORIGIN", id="other site")
    yield pytest.param({"Host": own, "Origin": "null"}, "FOREIGN_ORIGIN", id="sandboxed page")
    yield pytest.param({"Host": own, "Origin": "http://127.0.0.1:1"}, "FOREIGN_ORIGIN", id="other port")
    yield pytest.param({"Host": own, "Origin": "http://localhost"}, "FOREIGN_ORIGIN", id="other name of this machine")
    yield pytest.param({"Host": own, "Sec-Fetch-Site": "cross-site"}, "FOREIGN_ORIGIN", id="fetch of other site")
    yield pytest.param({"Host": own, "Sec-Fetch-Site": "same-site"}, "FOREIGN_ORIGIN", id="fetch of other port")


async def send(port: int, head: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, Any]:
    """Send a request as its bytes, since clients write their own Host, and return status and JSON."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{head} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "Connection: close"]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    start, _, content = answer.partition(b"\r\n\r\n")
    status = int(start.split()[1])
    return status, json.loads(content) if b"application/json" in start else content


def rest_ports(cloud: Any) -> list[int]:
    """Return every HTTP port of a platform."""
    return [int(cloud.url(server).rpartition(":")[2]) for server in REST_PORTS]


def reason_of(answer: Any) -> str:
    """Return the reason of an AIP-193 error."""
    return str(answer["error"]["details"][0]["reason"])


@pytest.mark.parametrize(("headers", "reason"), list(foreign_requests()))
async def test_request_of_a_foreign_page_is_refused(instruments: Start, headers: dict[str, str], reason: str) -> None:
    """On every port and whatever is asked for: nothing tells the page what is there."""
    async with instruments() as cloud:
        for port in rest_ports(cloud):
            for head in ("GET /_local/health", "POST /_local/reset", "GET /nothing"):
                status, answer = await send(port, head, headers)
                assert (status, reason_of(answer)) == (403, reason)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:8787"},
        {"Host": "localhost"},
        {"Host": "LOCALHOST:1"},
        {"Host": "localhost."},
        {"Host": "app.localhost:8787"},
        {"Host": "[::1]:8787"},
        {"Host": "10.0.0.7:8787"},
        {"Host": "platform.test:8787"},
        {"Host": "localhost:5", "Origin": "http://localhost:5", "Sec-Fetch-Site": "same-origin"},
        {"Host": "localhost", "Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
async def test_request_to_a_name_of_this_server_is_answered(instruments: Start, headers: dict[str, str]) -> None:
    """Addresses, localhost, names below it, and the name that the configuration adds."""
    async with instruments(host_names=("Platform.test",)) as cloud:
        for port in rest_ports(cloud):
            assert await send(port, "GET /_local/health", headers) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ],
)
async def test_body_that_any_page_may_send_is_refused(instruments: Start, content_type: str) -> None:
    """These are the types that a browser sends to another site without asking it first; empty is none."""
    body = json.dumps({"route": "*", "fault": "lose"}).encode()
    typed = {"Content-Type": content_type} if content_type else {}
    async with instruments() as cloud:
        for port in rest_ports(cloud):
            status, answer = await send(port, "POST /_local/faults", {"Host": "localhost", **typed}, body)
            assert (status, reason_of(answer)) == (400, "BODY_NOT_JSON")
        assert [await cloud.fired(server) for server in REST_PORTS] == [[], [], [], []]


async def test_page_that_knows_the_apis_deploys_nothing(instruments: Start) -> None:
    """The attack that was tried: a form's or a script's plain-text POST with a workflow in it."""
    body = json.dumps({"sourceContents": "- a: {return: 1}"}).encode()
    async with instruments() as cloud:
        port = int(cloud.url("workflows").rpartition(":")[2])
        headers = {"Host": "localhost", "Content-Type": "text/plain"}
        status, _ = await send(port, f"POST /v1/{LOCATION}/workflows?workflowId=evil", headers, body)
        found, _ = await send(port, f"GET /v1/{LOCATION}/workflows/evil", {"Host": "localhost"})

    assert (status, found) == (400, 404)


async def test_two_hosts_are_refused(instruments: Start) -> None:
    """Which of them a proxy looked at is unknown."""
    async with instruments() as cloud:
        port = int(cloud.url("tasks").rpartition(":")[2])
        status, answer = await send(port, "GET /_local/health", {"Host": "localhost\r\nHost: evil.example"})

    assert status in (400, 403)
    assert b"ok" not in json.dumps(answer, default=str).encode()


@pytest.mark.parametrize("server", ["workflows", "tasks"])
async def test_grpc_port_does_not_speak_http_1(instruments: Start, server: str) -> None:
    """Browsers use HTTP/2 with TLS only, so that a page cannot call a method of a gRPC port."""
    async with instruments() as cloud:
        port = getattr(cloud.platform, server).grpc_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /google.cloud.tasks.v2.CloudTasks/ListQueues HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert not answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("host", ["metadata.google.internal", "metadata", "169.254.169.254", "metadata.goog:80"])
async def test_metadata_server_answers_to_its_names_in_production(instruments: Start, host: str) -> None:
    """Clients that do not read GCE_METADATA_HOST use them."""
    headers = {"Host": host, "Metadata-Flavor": "Google"}
    async with instruments() as cloud:
        port = int(cloud.url("metadata").rpartition(":")[2])

        assert await send(port, "GET /computeMetadata/v1/project/project-id", headers) == (200, b"demo")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Metadata-Flavor": "google"}, {"Metadata-Flavor": "Google", "X-Forwarded-For": "127.0.0.1"}],
    ids=["no flavor", "other flavor", "forwarded"],
)
async def test_metadata_is_for_programs_of_this_machine(instruments: Start, headers: dict[str, str]) -> None:
    """As in production: the header that no page can send is wanted, and what a proxy passed on is refused."""
    async with instruments() as cloud:
        port = int(cloud.url("metadata").rpartition(":")[2])
        path = "/computeMetadata/v1/instance/service-accounts/default/token"
        status, answer = await send(port, f"GET {path}", {"Host": "localhost", **headers})

    assert status == 403
    assert b"ya29" not in answer


async def test_link_of_another_site_leads_to_the_pages_only(instruments: Start) -> None:
    """Following it changes nothing; the same link to an API, or a form of that site, is refused."""
    link = {"Host": "localhost", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with instruments() as cloud:
        port = int(cloud.url("workflows").rpartition(":")[2])
        statuses = [
            (await send(port, head, link))[0]
            for head in ("GET /ui/", f"GET /v1/{LOCATION}/workflows", "POST /ui/folder:deploy")
        ]

    assert statuses == [200, 403, 403]
