"""What the console asks of the reporter for an owner that it has signed in: webhook endpoints and deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from chassis.auth.callers import Caller, owner_headers
from chassis.peer_service import InternalService

_TIMEOUT_S = 20.0  # registering an endpoint looks its name up


class Webhooks(Protocol):
    """The reporter's routes of webhooks, by their public paths."""

    def ask(self, caller: Caller, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call a route for an owner and return its answer."""
        ...


class ReporterWebhooks:
    """The reporter over HTTP.

    Raises:
        ApiError: what the reporter answered, or 503 when it cannot be reached.
    """

    def __init__(self, service: InternalService) -> None:
        self._service = service

    def ask(self, caller: Caller, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call a route for an owner and return its answer."""
        sent = None if body is None else dict(body)
        return self._service.call(
            method, f"/internal/owner{path}", body=sent, headers=owner_headers(caller), timeout_s=_TIMEOUT_S
        )
