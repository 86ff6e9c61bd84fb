"""What every test may rely on: nothing but loopback is ever dialled, and a logged exception costs nothing."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from support.distribution import (  # noqa: F401 - hooks
    pytest_collection,
    pytest_collection_modifyitems,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)
from support.packet_loss import NETWORK


class OutsideTrafficError(AssertionError):
    """A test tried to leave the machine."""


def _is_link(host: str) -> bool:
    return ipaddress.ip_address(host) in NETWORK


@pytest.fixture(scope="session", autouse=True)
def _only_loopback() -> Iterator[None]:
    """Refuse connections of this process to anything but loopback and a test's own links: no default calls Google."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            host = str(address[0]).split("%", 1)[0]
            if not (host == "localhost" or ipaddress.ip_address(host).is_loopback or _is_link(host)):
                raise OutsideTrafficError(f"a test dialled {host}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session", autouse=True)
def _plain_tracebacks() -> None:
    """Log exceptions as Python prints them: `rich`, which a tool of ours brings along, takes seconds to draw one."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])
