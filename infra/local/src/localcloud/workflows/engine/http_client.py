"""Sends the HTTP requests of executions, and keeps them on this machine when they are meant for Google.

`https://SERVICE.googleapis.com/...` goes to the local server of that service, or fails to connect when there is none:
a local token must never be shown to Google, and nothing local may change a real project.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import yarl

from localcloud.core.clock import Clock
from localcloud.core.google_hosts import google_service
from localcloud.workflows.http_bodies import canonical_headers
from localcloud.workflows.limits import MAX_HTTP_RESPONSE_BYTES
from localcloud.workflows.runtime.host import (
    HttpConnectionBroken,
    HttpConnectionFailed,
    HttpRequest,
    HttpResponse,
    HttpTimedOut,
)

Endpoints = Mapping[str, str]
"""Google service name to local base URL without a trailing slash: `{"cloudtasks": "http://127.0.0.1:8123"}`."""

_REGIONAL = re.compile(r"(?P<new>[a-z]+)\.[a-z]+-[a-z]+\d+\.rep|[a-z]+-[a-z]+\d+-(?P<old>[a-z]+)")
"""`workflows.us-central1.rep` and, the older form, `us-central1-workflows`, both below googleapis.com.

Source: https://cloud.google.com/assured-workloads/docs/configure-workloads-regional-endpoints
"""

MAX_REDIRECTS = 10
_IDLE_S = 1.0
MAX_BODY_BYTES = MAX_HTTP_RESPONSE_BYTES + 1
"""One byte over the documented response limit of 2 MB: enough for the interpreter to see that it is exceeded."""


def local_url(url: str, endpoints: Endpoints) -> str:
    """Return the local URL for a Google API's URL, and any other URL unchanged.

    A regional address stands for the service, wherever the region: localcloud has one server for all of them.

    Raises:
        LookupError: it is a Google API that has no local server; the text says so.
        ValueError: its host cannot be read.
    """
    service = google_service(url)
    if service is None:
        return url
    regional = _REGIONAL.fullmatch(service)
    base = endpoints.get(regional[regional.lastgroup or 0] if regional else service)
    if base is None:
        host = urlsplit(url).hostname
        raise LookupError(f"{host} has no local server; known services: {', '.join(sorted(endpoints)) or 'none'}")
    path = urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl()
    return base.rstrip("/") + (path if path.startswith("/") else f"/{path}")


class AiohttpCaller:
    """The `HttpCaller` of all executions: one connection pool, made by `start` inside the event loop.

    Timeouts run on the given clock, so that a test can time out a call that hangs without waiting.
    """

    def __init__(self, endpoints: Endpoints, clock: Clock) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self.under_way = 0
        """Requests that wait for their answer."""

    async def start(self) -> None:
        """Open the pool."""
        self._session = aiohttp.ClientSession(
            # Idle connections are dropped before gunicorn drops them (2 s), so that no request meets a closing one.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, keepalive_timeout=_IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Workflows sets its own headers; the library's defaults would be visible to the target.
            skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
        )

    async def stop(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request, following up to ten redirects as Go's client does.

        The body of the answer is cut after `MAX_BODY_BYTES`.

        Raises:
            HttpConnectionFailed: no connection, a request that HTTP cannot carry, or a Google API without a local
                server.
            HttpConnectionBroken: the connection broke before the whole answer was there.
            HttpTimedOut: `timeout_s` passed.
        """
        if self._session is None:
            raise RuntimeError("AiohttpCaller.send before start")
        self.under_way += 1
        try:
            # One budget for the whole chain of redirects: the caller waits for all of it.
            async with _time_limit(self._clock, request.timeout_s):
                return await self._follow(self._session, request)
        except TimeoutError as error:
            raise HttpTimedOut(f"no answer from {request.url} within {request.timeout_s:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise HttpConnectionFailed(str(error)) from error
        except (ValueError, aiohttp.NonHttpUrlClientError, LookupError) as error:
            # Also a header or method that HTTP cannot carry: nothing was sent.
            raise HttpConnectionFailed(f"the request cannot be sent: {error}") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise HttpConnectionBroken(f"{request.url}: {error}") from error
        finally:
            self.under_way -= 1

    async def _follow(self, session: aiohttp.ClientSession, request: HttpRequest) -> HttpResponse:
        method, url, headers, body = request.method, request.url, dict(request.headers), request.body
        timeout = aiohttp.ClientTimeout(total=None)
        for _ in range(MAX_REDIRECTS + 1):
            target = yarl.URL(local_url(url, self._endpoints), encoded=True)
            async with session.request(
                method, target, headers=headers, data=body, timeout=timeout, allow_redirects=False
            ) as answer:
                location = answer.headers.get("Location")
                if answer.status not in (301, 302, 303, 307, 308) or location is None:
                    content = await _read_at_most(answer, MAX_BODY_BYTES)
                    pairs = [(name, value) for name, value in answer.headers.items()]
                    return HttpResponse(answer.status, canonical_headers(pairs), content)
                if answer.status in (301, 302, 303):
                    method, body = (method if method == "HEAD" else "GET"), None
                    headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
                following = target.join(yarl.URL(location))
                if following.host != target.host:
                    headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
                url = str(following)
        raise HttpConnectionBroken(f"{request.url}: stopped after {MAX_REDIRECTS} redirects")


@asynccontextmanager
async def _time_limit(clock: Clock, seconds: float) -> AsyncIterator[None]:
    """Cancel what runs inside and raise TimeoutError once `seconds` have passed on the clock."""
    async with asyncio.timeout(None) as limit:

        async def ring() -> None:
            await clock.sleep(seconds)
            limit.reschedule(asyncio.get_running_loop().time())

        alarm = asyncio.create_task(ring())
        try:
            yield
        finally:
            alarm.cancel()


async def _read_at_most(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    chunks = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        chunks += chunk
        if len(chunks) >= limit:
            # The rest is not wanted, so the connection cannot be used again.
            answer.close()
            return bytes(chunks[:limit])
    return bytes(chunks)
