"""Whether the services beside ingest answer, for the page of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from chassis.errors import ApiError
from chassis.peer_service import InternalService

_TIMEOUT_S = 3.0


class Peers(Protocol):
    """The services beside ingest."""

    def health(self) -> Mapping[str, str]:
        """Return by name of a service an empty text, or what is wrong with it."""
        ...


class PeerServices:
    """The services over HTTP, asked one after the other."""

    def __init__(self, services: Mapping[str, InternalService]) -> None:
        self._services = services

    def health(self) -> Mapping[str, str]:
        """Return by name of a service an empty text, or what is wrong with it."""
        return {name: _trouble(service) for name, service in self._services.items()}


def _trouble(service: InternalService) -> str:
    try:
        service.call("GET", "/health", timeout_s=_TIMEOUT_S)
    except ApiError as error:
        return error.message
    return ""
