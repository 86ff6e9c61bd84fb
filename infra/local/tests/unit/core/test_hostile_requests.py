"""Nothing that a stranger sends ends as a 500: bodies, queries and paths of every route, and messages over gRPC."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from google.cloud import tasks_v2
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2

LOCATION = "projects/demo/locations/us-central1"
QUEUE = f"{LOCATION}/queues/q"
Start = Callable[..., AbstractAsyncContextManager[Any]]

HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, -(2**63) - 1, 10**400, 1.5, 1e308, -0.0, "", " ", "0", "-1", "9" * 5000,
    "1e999", "\u0661", "\u00b2", "\ud800", "\U0010ffff", "a\n", "a\0b", "x" * 70_000, "=", "!", "..", "%", "%zz", "${",
    "[" * 2000,
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00Z\n", "3s\n", "-1s", "1.0000000001s",
    [], [[]], [None], {}, {"": ""}, {"a": {"a": {}}}, {"\ud800": 1},
)  # fmt: skip

TASK = {
    "task": {
        "name": f"{QUEUE}/tasks/t",
        "httpRequest": {
            "url": "http://127.0.0.1:9/",
            "httpMethod": "POST",
            "headers": {"X-A": "b"},
            "body": "aGk=",
            "oidcToken": {"serviceAccountEmail": "a@b.example", "audience": "x"},
        },
        "scheduleTime": "2030-01-01T00:00:00Z",
        "dispatchDeadline": "30s",
        "retryConfig": {"maxAttempts": 3, "minBackoff": "1s"},
    },
    "responseView": "FULL",
}
QUEUE_BODY = {
    "name": f"{LOCATION}/queues/new",
    "rateLimits": {"maxDispatchesPerSecond": 5, "maxConcurrentDispatches": 5, "maxBurstSize": 5},
    "retryConfig": {
        "maxAttempts": 5, "maxRetryDuration": "5s", "minBackoff": "1s", "maxBackoff": "5s", "maxDoublings": 3,
    },
}  # fmt: skip
WORKFLOW = {
    "name": f"{LOCATION}/workflows/w",
    "description": "d",
    "labels": {"a": "b"},
    "serviceAccount": "a@b.example",
    "sourceContents": "- a: {return: 1}",
    "callLogLevel": "LOG_NONE",
    "userEnvVars": {"A": "b"},
    "executionHistoryLevel": "EXECUTION_HISTORY_BASIC",
}
EXECUTION = {
    "argument": "{}",
    "callLogLevel": 1,
    "labels": {"a": "b"},
    "executionHistoryLevel": 1,
    "disableConcurrencyQuotaOverflowBuffering": True,
}
MESSAGE = {
    "message": {
        "data": "aGk=",
        "attributes": {"a": "b"},
        "messageId": "1",
        "publishTime": "2026-01-01T00:00:00Z",
        "orderingKey": "k",
    },
    "subscription": "projects/demo/subscriptions/s",
    "deliveryAttempt": 1,
}
BODIES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("tasks", "POST", f"/v2/{QUEUE}/tasks", TASK),
    ("tasks", "POST", f"/v2/{QUEUE}/tasks/none:run", {"responseView": "FULL"}),
    ("tasks", "POST", f"/v2/{LOCATION}/queues", QUEUE_BODY),
    ("tasks", "PATCH", f"/v2/{QUEUE}?updateMask=rateLimits,retryConfig.maxAttempts", QUEUE_BODY),
    ("tasks", "POST", f"/v2/{QUEUE}:pause", {}),
    ("workflows", "POST", f"/v1/{LOCATION}/workflows?workflowId=new", WORKFLOW),
    ("workflows", "PATCH", f"/v1/{LOCATION}/workflows/echo?updateMask=description,labels", WORKFLOW),
    ("workflows", "POST", f"/v1/{LOCATION}/workflows/echo/executions", EXECUTION),
    ("workflows", "POST", f"/v1/{LOCATION}/workflows/echo:triggerPubsubExecution", MESSAGE),
    ("workflows", "POST", f"/v1/{LOCATION}/workflows/echo/executions/none:cancel", {}),
    ("workflows", "POST", "/_local/faults", {"route": "executions.get", "fault": "fail", "code": 503, "count": 1}),
    ("workflows", "POST", "/_local/faults", {"route": "nothing", "fault": "delay", "delay_s": 1, "workflow": "w"}),
    ("workflows", "POST", "/_local/time", {"advance_s": 0}),
    ("scheduler", "POST", f"/v1/{LOCATION}/jobs", {"name": "j"}),
)
QUERIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("tasks", f"/v2/{QUEUE}/tasks", ("pageSize", "pageToken", "responseView")),
    ("tasks", f"/v2/{LOCATION}/queues", ("pageSize", "pageToken", "filter")),
    ("tasks", f"/v2/{QUEUE}", ("readMask",)),
    ("workflows", f"/v1/{LOCATION}/workflows", ("pageSize", "pageToken", "filter", "orderBy")),
    ("workflows", f"/v1/{LOCATION}/workflows/echo", ("revisionId",)),
    ("workflows", f"/v1/{LOCATION}/workflows/echo/executions", ("pageSize", "pageToken", "filter", "orderBy", "view")),
    ("workflows", f"/v1/{LOCATION}/operations", ("pageSize", "pageToken", "filter")),
    ("workflows", f"/ui/{LOCATION}/workflows/echo", ("first",)),
    ("metadata", "/computeMetadata/v1/instance/service-accounts/default/identity", ("audience", "format")),
    ("metadata", "/computeMetadata/v1/instance/service-accounts/default/token", ("scopes",)),
    ("metadata", "/computeMetadata/v1/instance/service-accounts/default/", ("recursive",)),
)
FILTERS = (
    "createTime>0001-01-01T00:00:00+23:59", "createTime>9999-12-31T23:59:59-23:59", "createTime<2026-02-30",
    "duration>nan",
    "duration=1e999s", "state=\u0661", "labels.a:*", "labels.'\\", "name=*", "name:", "NOT", "-", "a.b.c=d", "state=",
)  # fmt: skip
PATHS = (
    "/", "//", "/%00", "/%ff", "/%2e%2e/", "/v2/%2F", "/v2/projects/%2Fp/locations", "/v1/projects//locations",
    "/ui/%00",
    "/ui/projects/p/locations/l/workflows/%ff", f"/v2/{LOCATION}/queues/%0a", f"/v2/{QUEUE}/tasks/%ed%a0%80",
    f"/v1/{LOCATION}/workflows/a%0a", f"/v1/{LOCATION}/workflows/echo/executions/%F0/stepEntries/99999999999999999999",
    "/_local/", "/_local/faults%0a", "/computeMetadata/v1/%2e%2e/%2e%2e/", "/oauth2/v1/certs/", "/v1/apps/%ff", "/*",
    "/v2/" + "a/" * 3000, "http://", "//evil.example/x",
)  # fmt: skip


def spoilt(body: Any) -> Iterator[Any]:
    """Yield each hostile value, and copies of a body in which one part is replaced by it."""
    yield from HOSTILE_VALUES
    for way in ways_into(body):
        for value in HOSTILE_VALUES:
            changed = copy.deepcopy(body)
            parent = changed
            for key in way[:-1]:
                parent = parent[key]
            parent[way[-1]] = value
            yield changed
    yield {**body, "unknown": 1} if isinstance(body, dict) else body


def ways_into(body: Any) -> Iterator[tuple[str, ...]]:
    """Yield the way to every part of a body."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield (key,)
            yield from ((key, *rest) for rest in ways_into(value))


async def status_of(cloud: Any, server: str, method: str, path: str, content: bytes | None) -> int:
    """Send one request as it is and return the status of its answer."""
    headers = {"Metadata-Flavor": "Google", **({"Content-Type": "application/json"} if content is not None else {})}
    async with cloud.session.request(method, cloud.url(server) + path, data=content, headers=headers) as response:
        await response.read()
        return int(response.status)


@pytest.mark.parametrize(("server", "method", "path", "body"), BODIES, ids=lambda part: str(part)[:60])
async def test_hostile_body_is_the_callers_fault(
    instruments: Start, server: str, method: str, path: str, body: dict[str, Any]
) -> None:
    """Each field of each request, with values of the wrong type, size, form and alphabet."""
    failed = []
    async with instruments() as cloud:
        for spoilt_body in spoilt(body):
            content = json.dumps(spoilt_body).encode()
            status = await status_of(cloud, server, method, path, content)
            if status >= 500 and status != 501:
                failed.append((status, content[:200]))
            await cloud.call(server, "DELETE", "/_local/faults")

    assert failed == []


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"\xed\xa0\x80", b'"\xed\xa0\x80"', b"NaN", b'{"a": Infinity}', b"[" * 100_000,
     b'{"a":' * 5000, b"\xef\xbb\xbf{}",
     b"9" * 100_000, b'{"advance_s": 1e999}', '"\ud83d"'.encode("utf-16", "surrogatepass"), b"\0", b"{} {}"],
    ids=lambda content: repr(content[:12]),
)  # fmt: skip
async def test_body_that_is_no_json_is_the_callers_fault(instruments: Start, content: bytes) -> None:
    """On every port."""
    async with instruments() as cloud:
        for server in ("workflows", "tasks", "scheduler", "metadata"):
            assert await status_of(cloud, server, "POST", "/_local/time", content) == 400


@pytest.mark.parametrize(("server", "path", "parameters"), QUERIES, ids=lambda part: str(part)[:60])
async def test_hostile_query_is_the_callers_fault(
    instruments: Start, server: str, path: str, parameters: tuple[str, ...]
) -> None:
    """Each parameter of each list."""
    texts = [value for value in HOSTILE_VALUES if isinstance(value, str) and len(value) < 6000]
    failed = []
    async with instruments() as cloud:
        for parameter in parameters:
            for text in (*texts, *FILTERS, "WzFd", "W251bGwsIG51bGxd", "eyJhIjogMSwgImIiOiAyfQ=="):
                query = quote(text.encode("utf-8", "surrogatepass"), safe="")
                status = await status_of(cloud, server, "GET", f"{path}?{parameter}={query}", None)
                if status >= 500 and status != 501:
                    failed.append((status, parameter, text[:80]))

    assert failed == []


async def test_hostile_path_is_not_found_or_refused(instruments: Start) -> None:
    """Sent as bytes, since clients tidy paths up."""
    failed = []
    async with instruments() as cloud:
        for server in ("workflows", "tasks", "scheduler", "metadata"):
            port = int(cloud.url(server).rpartition(":")[2])
            for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"):
                for path in PATHS:
                    status = await raw_status(port, f"{method} {path}")
                    if status >= 500 and status != 501:
                        failed.append((server, status, method, path[:60]))

    assert failed == []


async def raw_status(port: int, head: str) -> int:
    """Return the status of the answer to a request whose first line is given."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head} HTTP/1.1\r\nHost: localhost\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]) if answer else 400


async def test_random_bytes_are_never_a_500(instruments: Start) -> None:
    """Whatever arrives on an HTTP port; the seed is fixed, so that a failure comes again."""
    chance = random.Random(7)
    async with instruments() as cloud:
        for server in ("workflows", "tasks", "scheduler", "metadata"):
            port = int(cloud.url(server).rpartition(":")[2])
            for _ in range(40):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                start = chance.choice([b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"POST /v1/", b""])
                writer.write(start + chance.randbytes(chance.randrange(1, 300)) + b"\r\n\r\n")
                writer.write_eof()
                answer = await reader.read()
                writer.close()
                assert not answer.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), answer


async def test_hostile_message_over_grpc_is_the_callers_fault(instruments: Start) -> None:
    """Times and durations that no JSON can write, and masks of nothing."""
    far = timestamp_pb2.Timestamp(seconds=2**62)
    endless = duration_pb2.Duration(seconds=2**62, nanos=-5)
    tasks = [
        tasks_v2.Task(http_request={"url": "http://127.0.0.1:9/"}, schedule_time=far),
        tasks_v2.Task(http_request={"url": "http://127.0.0.1:9/"}, dispatch_deadline=endless),
    ]
    codes = []
    async with instruments() as cloud:
        port = cloud.platform.tasks.grpc_port
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            service = "/google.cloud.tasks.v2.CloudTasks"
            requests = [
                (f"{service}/CreateTask", tasks_v2.CreateTaskRequest.pb()(parent=QUEUE, task=tasks_v2.Task.pb(task)))
                for task in tasks
            ]
            update = tasks_v2.UpdateQueueRequest.pb()(update_mask=field_mask_pb2.FieldMask(paths=["A_b__C", "_"]))
            update.queue.name = QUEUE
            requests.append((f"{service}/UpdateQueue", update))
            for path, request in requests:
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await channel.unary_unary(path)(request.SerializeToString())
                codes.append(error.value.code())

    assert codes == [grpc.StatusCode.INVALID_ARGUMENT] * 3
