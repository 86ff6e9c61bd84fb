"""Requests to one service: the key, time limits, errors, and what is tried again when nothing can be doubled by it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from pressroom.errors import UnexpectedAnswerError, UnreachableError, error_of

TRIES = 5
"""How often a request that can be repeated is made before it is given up."""

MAX_WAIT_S = 30.0
"""The longest wait before another try, seconds; what asks for more is not tried again."""

_PASSING = frozenset({429, 502, 503, 504})
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)


class Service:
    """One service behind a URL. Not for several threads at once.

    Args:
        url: of the service.
        api_key: sent with every request; None for a deployment without keys.
        transport: for tests.
        sleep: waits so many seconds; for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        headers = {"User-Agent": "pressroom-python/0.9.0", "Accept": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._client = httpx2.Client(headers=headers, timeout=_TIMEOUT, transport=transport)
        self._sleep = sleep

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """Make a request and return the object that it is answered with.

        Raises:
            ApiError: it was refused.
            UnreachableError: no answer.
            UnexpectedAnswerError: the answer is no JSON object.
        """
        return self._object(self.send(method, path, **arguments))

    def json_if_changed(self, path: str, etag: str | None) -> tuple[dict[str, Any] | None, str | None]:
        """Return the object behind a path with its ETag; None when it is the one with `etag` still.

        Raises:
            As `json`.
        """
        headers = {} if etag is None else {"If-None-Match": etag}
        answer = self.send("GET", path, headers=headers)
        if answer.status_code == httpx2.codes.NOT_MODIFIED:
            return None, etag
        return self._object(answer), answer.headers.get("ETag")

    def send(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> httpx2.Response:
        """Make a request, again if need be, and return the answer.

        Args:
            method: of HTTP.
            path: below the URL of the service, or a whole URL.
            repeatable: whether doing it twice is as doing it once; by default what reads is.
            params: query parameters; those that are None are left out.
            headers: further headers.
            json: a body.
            data: fields of a form.
            files: files of a form.

        Raises:
            As `json`, but for the last.
        """
        again = method == "GET" if repeatable is None else repeatable
        given = {name: value for name, value in (params or {}).items() if value is not None}
        for number in range(1, TRIES + 1):
            wait_s = random.uniform(0.5, 1.0) * 2 ** (number - 1) / 2  # noqa: S311 - spreads the load
            try:
                answer = self._client.send(
                    self._request(method, path, params=given, headers=headers, json=json, data=data, files=files)
                )
            except httpx2.InvalidURL as error:
                raise UnreachableError(f"{self.url} is no URL: {error}") from error
            except httpx2.TransportError as error:
                # What could not connect has not been sent.
                if number == TRIES or not (again or isinstance(error, httpx2.ConnectError)):
                    raise UnreachableError(f"{self.url} cannot be reached: {error or type(error).__name__}") from error
            else:
                if answer.status_code < 400:
                    return answer
                asked_s = _retry_after_s(answer)
                if number == TRIES or not again or answer.status_code not in _PASSING or asked_s > MAX_WAIT_S:
                    raise error_of(answer.status_code, _json_or_none(answer))
                wait_s = max(wait_s, asked_s)
            self._sleep(wait_s)
        raise AssertionError("unreachable: the last try returns or raises")

    def _request(self, method: str, path: str, **content: Any) -> httpx2.Request:
        is_whole = path.startswith(("http://", "https://"))
        if not is_whole or not content["params"]:
            # An empty mapping would take the query off a URL that has one.
            content["params"] = content["params"] or None
        request = self._client.build_request(method, path if is_whole else self.url + path, **content)
        if is_whole:
            # A link carries its own token, and may lead elsewhere.
            request.headers.pop("Authorization", None)
        return request

    def _object(self, answer: httpx2.Response) -> dict[str, Any]:
        body = _json_or_none(answer)
        if not isinstance(body, dict):
            raise UnexpectedAnswerError(f"{answer.request.url} answered {answer.status_code} and no JSON object.")
        return body


def _json_or_none(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _retry_after_s(answer: httpx2.Response) -> float:
    try:
        return float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
