"""Calls between our services: OIDC token, trace, time-outs, AIP-193 errors turned back into `ApiError`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from chassis.auth.oidc import TokenSource
from chassis.errors import ApiError, SharedReason, Status, unavailable
from chassis.tracing import trace_headers


class InternalService:
    """One peer service, named for its errors and addressed by its root URL, which is also the token's audience."""

    def __init__(self, name: str, root_url: str, tokens: TokenSource, *, pool_size: int = 16) -> None:
        self._name = name
        self._root_url = root_url.rstrip("/")
        self._tokens = tokens
        self._session = requests.Session()
        # Proxies and .netrc of the environment must not see internal tokens.
        self._session.trust_env = False
        # One retry on a connection that the peer closed while idle; nothing else is retried at this layer.
        self._session.mount("http://", HTTPAdapter(pool_maxsize=pool_size, max_retries=0))
        self._session.mount("https://", HTTPAdapter(pool_maxsize=pool_size, max_retries=0))

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
            decoded = response.json()
        except ValueError as error:
            raise self._unavailable(f"answered HTTP {response.status_code} without JSON") from error
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
            try:
                for line in response.iter_lines(chunk_size=65536):
                    if line:
                        yield line
            except requests.RequestException as error:
                raise self._unavailable("broke off its answer") from error

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
    ) -> requests.Response:
        own = {"Authorization": f"Bearer {self._tokens.token(self._root_url)}", **trace_headers()}
        sent = {**(headers or {}), **own}
        for attempt in (1, 2):
            try:
                response = self._session.request(
                    method,
                    self._root_url + path,
                    json=body,
                    headers=sent,
                    timeout=(3.0, timeout_s),
                    stream=stream,
                    allow_redirects=False,
                )
                break
            except requests.ConnectionError as error:
                # Every internal route may be called twice, so a keep-alive connection that died is simply replaced.
                if attempt == 2:
                    raise self._unavailable("cannot be reached") from error
            except requests.RequestException as error:
                raise self._unavailable("did not answer in time") from error
        if response.status_code >= 400:
            raise self._error_from(response)
        return response

    def _error_from(self, response: requests.Response) -> ApiError:
        try:
            error = response.json()["error"]
            status = Status(error["status"])
            info = next(d for d in error.get("details", []) if d.get("@type", "").endswith("google.rpc.ErrorInfo"))
            return ApiError(
                status,
                str(info["reason"]),
                str(error["message"]),
                metadata={str(k): str(v) for k, v in info.get("metadata", {}).items()},
                http_code=response.status_code,
                retry_after_s=5 if response.status_code in {429, 503} else None,
            )
        except (ValueError, KeyError, TypeError, StopIteration):
            return self._unavailable(f"answered HTTP {response.status_code}")

    def _unavailable(self, what: str) -> ApiError:
        return unavailable(SharedReason.PEER_UNAVAILABLE, f"The {self._name} service {what}.")
