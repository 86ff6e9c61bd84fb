"""Calls between our services: OIDC token, trace, time-outs, AIP-193 errors turned back into `ApiError`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import certifi
import urllib3

from chassis.auth.oidc import TokenSource
from chassis.errors import ApiError, SharedReason, Status, unavailable
from chassis.tracing import trace_headers

_CONNECT_S = 3.0
_CHUNK_BYTES = 65_536
# To urllib3 a connection that is refused is one that timed out.
_CONNECTION_FAULTS = (
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.SSLError,
)


class InternalService:
    """One peer service, named for its errors and addressed by its root URL, which is also the token's audience.

    urllib3 and not requests, which takes twice the processor time for a call and looks for proxies in the environment:
    those must not see internal tokens.
    """

    def __init__(self, name: str, root_url: str, tokens: TokenSource, *, pool_size: int = 16) -> None:
        self._name = name
        self._root_url = root_url.rstrip("/")
        self._tokens = tokens
        # Its one pool and not a PoolManager, which looks for the pool of each call's URL.
        pools = urllib3.PoolManager(maxsize=pool_size, ca_certs=certifi.where())
        self._pool = pools.connection_from_url(self._root_url)
        self._root_path = urllib3.util.parse_url(self._root_url).path or ""

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> dict[str, Any]:
        """Send JSON and return the peer's JSON object.

        Raises:
            ApiError: the peer's own error, or 503 `PEER_UNAVAILABLE` when it did not answer as it should.
        """
        response = self._send(method, path, body=body, headers=headers, timeout_s=timeout_s, stream=False)
        try:
            decoded = json.loads(response.data)
        except ValueError as error:
            raise self._unavailable(f"answered HTTP {response.status} without JSON") from error
        if not isinstance(decoded, dict):
            raise self._unavailable("answered something else than a JSON object")
        return decoded

    @contextmanager
    def stream_lines(self, path: str, *, timeout_s: float = 60.0) -> Iterator[Iterator[bytes]]:
        """Yield an iterator over the non-empty lines of a GET answer, without holding the whole of it.

        Raises:
            ApiError: as `call`; a connection that breaks while lines are read is 503 too.
        """
        response = self._send("GET", path, body=None, headers=None, timeout_s=timeout_s, stream=True)

        def lines() -> Iterator[bytes]:
            rest = b""
            try:
                for chunk in response.stream(_CHUNK_BYTES):
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from filter(None, whole)
            except urllib3.exceptions.HTTPError as error:
                raise self._unavailable("broke off its answer") from error
            if rest:
                yield rest

        try:
            yield lines()
        finally:
            response.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any,
        headers: Mapping[str, str] | None,
        timeout_s: float,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        own = {"Authorization": f"Bearer {self._tokens.token(self._root_url)}", **trace_headers()}
        if body is not None:
            own["Content-Type"] = "application/json"
        for attempt in (1, 2):
            try:
                response = self._pool.urlopen(
                    method,
                    self._root_path + path,
                    body=None if body is None else json.dumps(body, allow_nan=False).encode(),
                    headers={**(headers or {}), **own},
                    timeout=urllib3.Timeout(connect=_CONNECT_S, read=timeout_s),
                    preload_content=not stream,
                    redirect=False,
                    retries=False,
                )
                break
            except _CONNECTION_FAULTS as error:
                # Every internal route may be called twice, so a keep-alive connection that died is simply replaced.
                if attempt == 2:
                    raise self._unavailable("cannot be reached") from error
            except urllib3.exceptions.HTTPError as error:
                raise self._unavailable("did not answer in time") from error
        if response.status >= 400:
            raise self._error_from(response)
        return response

    def _error_from(self, response: urllib3.BaseHTTPResponse) -> ApiError:
        try:
            error = json.loads(response.data)["error"]
            status = Status(error["status"])
            info = next(d for d in error.get("details", []) if d.get("@type", "").endswith("google.rpc.ErrorInfo"))
            return ApiError(
                status,
                str(info["reason"]),
                str(error["message"]),
                metadata={str(k): str(v) for k, v in info.get("metadata", {}).items()},
                http_code=response.status,
                retry_after_s=5 if response.status in {429, 503} else None,
            )
        except (ValueError, KeyError, TypeError, StopIteration, urllib3.exceptions.HTTPError):
            return self._unavailable(f"answered HTTP {response.status}")

    def _unavailable(self, what: str) -> ApiError:
        return unavailable(SharedReason.PEER_UNAVAILABLE, f"The {self._name} service {what}.")
