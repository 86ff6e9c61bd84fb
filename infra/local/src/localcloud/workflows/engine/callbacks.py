"""Callback endpoints of executions: the interpreter's `CallbackBroker`, and the requests that arrive for it.

Creating an endpoint opens no slot. A request that finds a waiter is given to it; one that finds none is kept, one at
most, and the next is told 429. Endpoints disappear when their execution ends.
Source: https://cloud.google.com/workflows/docs/creating-callback-endpoints; what it leaves open is marked below.
"""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.google_errors import not_found, resource_exhausted
from localcloud.workflows.http_bodies import value_from_body
from localcloud.workflows.values import Value


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """One request to a callback URL; `path` is without the query, `headers` have canonical names."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Endpoint:
    """One callback endpoint: `name` is `.../executions/E/callbacks/ID`."""

    name: str
    method: str
    kept: deque[dict[str, Value]] = field(default_factory=deque)
    waiters: deque[asyncio.Future[dict[str, Value]]] = field(default_factory=deque)


class Callbacks:
    """All open endpoints of the server."""

    def __init__(self, clock: Clock, base_url: Callable[[], str]) -> None:
        """`base_url` is asked late, because a server on port 0 learns its URL after it has started."""
        self._clock = clock
        self._base_url = base_url
        self._endpoints: dict[str, dict[str, Endpoint]] = {}

    def broker(self, execution_name: str) -> ExecutionCallbacks:
        """Return the broker of one execution."""
        return ExecutionCallbacks(self, execution_name)

    def create(self, execution_name: str, method: str) -> str:
        """Open an endpoint and return its URL."""
        name = f"{execution_name}/callbacks/{uuid.uuid4()}"
        self._endpoints.setdefault(execution_name, {})[name] = Endpoint(name, method.upper())
        return f"{self._base_url()}/v1/{name}"

    async def wait(self, execution_name: str, url: str, timeout_s: float) -> dict[str, Value]:
        """Return the next request to `url`, at once if one was kept.

        Raises:
            TimeoutError: nothing arrived within `timeout_s`.
            KeyError: `url` is not an endpoint of this execution.
        """
        name = url.removeprefix(f"{self._base_url()}/v1/")
        endpoint = self._endpoints.get(execution_name, {})[name]
        if endpoint.kept:
            return endpoint.kept.popleft()
        future: asyncio.Future[dict[str, Value]] = asyncio.get_running_loop().create_future()
        endpoint.waiters.append(future)
        timer = asyncio.ensure_future(self._clock.sleep(timeout_s))
        race: set[asyncio.Future[Any]] = {future, timer}
        try:
            await asyncio.wait(race, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return future.result()
            raise TimeoutError(f"no callback arrived within {timeout_s:g} s")
        finally:
            timer.cancel()
            if not future.done():
                endpoint.waiters.remove(future)
                future.cancel()

    def deliver(self, name: str, request: CallbackRequest) -> None:
        """Hand a request to whoever waits on the endpoint `name`, or keep it.

        Raises:
            GoogleError: NOT_FOUND when there is no such endpoint for this method (Google's answer to another method
                is not documented), RESOURCE_EXHAUSTED (429) when an earlier request was not consumed yet.
        """
        endpoint = self._endpoints.get(name.rsplit("/", 2)[0], {}).get(name)
        if endpoint is None:
            raise not_found(f"Callback '{name}' was not found: unknown, or its execution has ended")
        if request.method != endpoint.method:
            raise not_found(f"Callback '{name}' takes {endpoint.method} requests, not {request.method}")
        payload = self._payload(request)
        if endpoint.waiters:
            endpoint.waiters.popleft().set_result(payload)
        elif endpoint.kept:
            raise resource_exhausted("A previous request to this callback has not been processed yet")
        else:
            endpoint.kept.append(payload)

    def endpoints(self, execution_name: str) -> list[Endpoint]:
        """Return the open endpoints of an execution, ordered by id."""
        return sorted(self._endpoints.get(execution_name, {}).values(), key=lambda endpoint: endpoint.name)

    def close(self, execution_name: str) -> None:
        """Forget the endpoints of an execution that has ended."""
        self._endpoints.pop(execution_name, None)

    def _payload(self, request: CallbackRequest) -> dict[str, Value]:
        content_type = request.headers.get("Content-Type", "")
        return {
            "http_request": {
                "body": value_from_body(request.body, content_type) if request.body else None,
                "headers": dict(request.headers),
                "method": request.method,
                "query": dict(request.query),
                "url": request.path,
            },
            "received_time": _go_time(self._clock.now()),
            "type": "HTTP",
        }


@dataclass(frozen=True, slots=True)
class ExecutionCallbacks:
    """The `CallbackBroker` of one execution."""

    _callbacks: Callbacks
    _execution_name: str

    def create(self, method: str) -> str:
        """Open an endpoint for `method` and return its URL."""
        return self._callbacks.create(self._execution_name, method)

    async def wait(self, url: str, timeout_s: float) -> dict[str, Value]:
        """Return the next request to `url`; see `Callbacks.wait`."""
        return await self._callbacks.wait(self._execution_name, url, timeout_s)


def _go_time(seconds: float) -> str:
    """Return `2023-01-15 10:30:00.123456 +0000 UTC`: the date-space-time form seen in Google's samples."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC")
