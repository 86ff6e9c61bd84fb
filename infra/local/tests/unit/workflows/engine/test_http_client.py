"""Requests of executions on real connections, and the URLs that stay on this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from localcloud.core.clock import Clock, ManualClock, SystemClock
from localcloud.workflows.engine.http_client import MAX_BODY_BYTES, AiohttpCaller, local_url
from localcloud.workflows.runtime.host import (
    HttpConnectionBroken,
    HttpConnectionFailed,
    HttpRequest,
    HttpResponse,
    HttpTimedOut,
)

ENDPOINTS = {"cloudtasks": "http://127.0.0.1:8123", "storage": "http://127.0.0.1:4443/"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://cloudtasks.googleapis.com/v2/projects/p?x=1", "http://127.0.0.1:8123/v2/projects/p?x=1"),
        ("https://storage.googleapis.com/upload/storage/v1/b", "http://127.0.0.1:4443/upload/storage/v1/b"),
        ("https://CloudTasks.googleapis.com:443/v2", "http://127.0.0.1:8123/v2"),
        ("https://cloudtasks.googleapis.com", "http://127.0.0.1:8123/"),
        ("https://cloudtasks.googleapis.com?x=%2F", "http://127.0.0.1:8123/?x=%2F"),
        ("http://cloudtasks.googleapis.com/v2", "http://127.0.0.1:8123/v2"),
        ("https://cloudtasks.googleapis.com.:8443/v2", "http://127.0.0.1:8123/v2"),
        ("https://somebody@cloudtasks.googleapis.com/v2", "http://127.0.0.1:8123/v2"),
        ("https://storage.googleapis.com/b/%2F%20?q=a%26b", "http://127.0.0.1:4443/b/%2F%20?q=a%26b"),
        ("https://cloudtasks.us-central1.rep.googleapis.com/v2", "http://127.0.0.1:8123/v2"),
        ("https://europe-west12-cloudtasks.googleapis.com/v2", "http://127.0.0.1:8123/v2"),
        ("https://notgoogleapis.com/x", "https://notgoogleapis.com/x"),
        ("http://127.0.0.1:8080/upload", "http://127.0.0.1:8080/upload"),
        ("https://example.com/googleapis.com/", "https://example.com/googleapis.com/"),
    ],
)
def test_google_apis_are_local_and_the_rest_is_not_touched(url: str, expected: str) -> None:
    """Only hosts below googleapis.com are mapped."""
    assert local_url(url, ENDPOINTS) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://bigquery.googleapis.com/v2",
        "https://us-central1-run.googleapis.com/v2",
        "https://run.us-central1.rep.googleapis.com/v2",
        "https://us-central1-.googleapis.com/v2",
        "https://cloudtasks.us-central1.googleapis.com/v2",
    ],
)
def test_google_api_without_a_local_server_is_named(url: str) -> None:
    """No request ever leaves for Google."""
    with pytest.raises(LookupError, match="has no local server; known services: cloudtasks, storage"):
        local_url(url, ENDPOINTS)


class Target:
    """A server with one handler per way of answering."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""

    async def echo(self, request: web.Request) -> web.Response:
        """Remember the request."""
        self.seen.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        answer = web.Response(body=b"hello", headers={"x-thing": "1"})
        answer.headers.add("x-thing", "2")
        return answer

    async def redirect(self, request: web.Request) -> web.Response:
        """Answer with the wanted code, to the wanted place."""
        return web.Response(status=int(request.match_info["code"]), headers={"Location": request.query["to"]})

    async def loop(self, request: web.Request) -> web.Response:
        """Send the caller here again."""
        return web.Response(status=302, headers={"Location": request.path})

    async def large(self, _request: web.Request) -> web.Response:
        """Answer with more than is wanted."""
        return web.Response(body=b"x" * (MAX_BODY_BYTES + 10))

    async def slow(self, _request: web.Request) -> web.Response:
        """Never answer."""
        await asyncio.Event().wait()
        return web.Response()

    async def broken(self, request: web.Request) -> web.StreamResponse:
        """Break off in the middle."""
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response


@asynccontextmanager
async def target(clock: Clock | None = None) -> AsyncIterator[tuple[Target, AiohttpCaller]]:
    target = Target()
    app = web.Application()
    app.router.add_route("*", "/redirect/{code}", target.redirect)
    app.router.add_route("*", "/loop", target.loop)
    app.router.add_route("*", "/large", target.large)
    app.router.add_route("*", "/slow", target.slow)
    app.router.add_route("*", "/broken", target.broken)
    app.router.add_route("*", "/{path:.*}", target.echo)
    endpoints: dict[str, str] = {}
    caller = AiohttpCaller(endpoints, clock or SystemClock())
    server = TestServer(app)
    server.skip_url_asserts = True
    async with server:
        target.url = str(server.make_url("")).rstrip("/")
        endpoints["storage"] = target.url
        await caller.start()
        try:
            yield target, caller
        finally:
            await caller.stop()


def request(url: str, method: str = "GET", **changes: Any) -> HttpRequest:
    return HttpRequest(method, url, changes.get("headers", {}), changes.get("body"), changes.get("timeout_s", 5.0))


async def test_answer_has_canonical_merged_headers() -> None:
    """Names are canonical and duplicates joined."""
    async with target() as (server, caller):
        answer = await caller.send(request(f"{server.url}/x"))

    assert isinstance(answer, HttpResponse)
    assert (answer.code, answer.body, answer.headers["X-Thing"]) == (200, b"hello", "1, 2")


async def test_request_goes_out_as_it_was_encoded() -> None:
    """Path, query, headers and body are not changed, and nothing is added that names a library."""
    async with target() as (server, caller):
        headers = {"User-Agent": "me", "X-A": "b"}
        await caller.send(request(f"{server.url}/a%2Fb?q=%20x+y", "PUT", headers=headers, body=b"raw"))

    method, path, seen, body = server.seen[0]
    assert (method, path, body) == ("PUT", "/a%2Fb?q=%20x+y", b"raw")
    assert {"User-Agent": "me", "X-A": "b"}.items() <= seen.items()
    assert not {"Content-Type", "Accept"} & set(seen)


async def test_google_url_arrives_at_the_local_server() -> None:
    """The mapping is applied when a request is sent."""
    async with target() as (server, caller):
        await caller.send(request("https://storage.googleapis.com/storage/v1/b"))

    assert server.seen[0][1] == "/storage/v1/b"


@pytest.mark.parametrize(
    ("code", "method", "arrives"),
    [(301, "POST", "GET"), (302, "PUT", "GET"), (303, "DELETE", "GET"), (307, "POST", "POST"), (302, "HEAD", "HEAD")],
)
async def test_redirect_is_followed_as_go_does(code: int, method: str, arrives: str) -> None:
    """301 to 303 become GET without a body; 307 and 308 repeat the request."""
    async with target() as (server, caller):
        url = f"{server.url}/redirect/{code}?to=/there"
        await caller.send(request(url, method, body=b"b", headers={"Authorization": "t"}))

    seen_method, path, headers, body = server.seen[0]
    assert (seen_method, path, body) == (arrives, "/there", b"b" if arrives == "POST" else b"")
    assert headers["Authorization"] == "t"


async def test_credentials_do_not_follow_to_another_host() -> None:
    """A redirect elsewhere loses the token."""
    async with target() as (server, caller):
        elsewhere = server.url.replace("127.0.0.1", "localhost") + "/there"
        await caller.send(request(f"{server.url}/redirect/302?to={elsewhere}", headers={"Authorization": "t"}))

    assert "Authorization" not in server.seen[0][2]


async def test_endless_redirects_are_broken_off() -> None:
    """Ten hops are enough."""
    async with target() as (server, caller):
        with pytest.raises(HttpConnectionBroken, match="stopped after 10 redirects"):
            await caller.send(request(f"{server.url}/loop"))


async def test_body_is_cut_after_the_limit() -> None:
    """One byte more than 2 MB is read, so that the interpreter sees the excess."""
    async with target() as (server, caller):
        answer = await caller.send(request(f"{server.url}/large"))

    assert len(answer.body) == 2 * 1024 * 1024 + 1


async def test_slow_answer_times_out() -> None:
    """`timeout_s` bounds the whole request."""
    async with target() as (server, caller):
        with pytest.raises(HttpTimedOut, match=r"within 0\.05 s"):
            await caller.send(request(f"{server.url}/slow", timeout_s=0.05))


async def test_timeout_runs_on_the_given_clock() -> None:
    """A test advances the clock instead of waiting for a call that hangs."""
    clock = ManualClock()
    async with target(clock) as (server, caller):
        call = asyncio.create_task(caller.send(request(f"{server.url}/slow", timeout_s=1800)))
        await clock.advance(1799)
        is_waiting = not call.done()
        await clock.advance(1)
        with pytest.raises(HttpTimedOut, match="within 1800 s"):
            await call

    assert is_waiting


async def test_answer_in_time_leaves_no_alarm_behind() -> None:
    """The clock wakes nobody afterwards."""
    clock = ManualClock()
    async with target(clock) as (server, caller):
        await caller.send(request(f"{server.url}/x"))
        await clock.advance(10)

        assert clock.sleeper_count == 0


async def test_broken_answer_is_a_broken_connection() -> None:
    """A connection that was made and lost may have had its effect."""
    async with target() as (server, caller):
        with pytest.raises(HttpConnectionBroken):
            await caller.send(request(f"{server.url}/broken"))


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:{closed_port()}/",
        "https://bigquery.googleapis.com/",
        "http://",
        "ftp://127.0.0.1/",
        "http://name.invalid/",
    ],
    ids=["refused", "google", "no host", "scheme", "dns"],
)
async def test_connection_that_cannot_be_made_failed(url: str) -> None:
    """Refused, unknown and forbidden targets had no effect for sure."""
    async with target() as (_, caller):
        with pytest.raises(HttpConnectionFailed):
            await caller.send(request(url))


@pytest.mark.parametrize(
    "changes", [{"headers": {"X-A": "a\r\nX-B: b"}}, {"method": "NO WAY"}], ids=["newline in a header", "method"]
)
async def test_request_that_http_cannot_carry_is_not_sent(changes: dict[str, Any]) -> None:
    """Nothing can be smuggled into a request."""
    async with target() as (server, caller):
        with pytest.raises(HttpConnectionFailed, match="cannot be sent"):
            await caller.send(request(f"{server.url}/", **changes))

    assert server.seen == []


async def test_send_before_start_is_a_bug() -> None:
    """A caller without a pool is not a workflow's fault."""
    with pytest.raises(RuntimeError, match="before start"):
        await AiohttpCaller({}, SystemClock()).send(request("http://127.0.0.1/"))
