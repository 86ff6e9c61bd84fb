"""What every test of localcloud may rely on: it may be a coroutine, and nothing but loopback is ever called."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from coroutine_tests import pytest_pyfunc_call  # noqa: F401


class OutsideTrafficError(AssertionError):
    """A test tried to leave the machine."""


TEST_LINKS = ipaddress.ip_network("198.18.0.0/15")
"""Links that a test makes to a network namespace of its own (RFC 2544); this guard holds for all tests of a run."""


def _is_on_this_machine(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_loopback or address in TEST_LINKS


@pytest.fixture(scope="session", autouse=True)
def _only_loopback() -> Iterator[None]:
    """Refuse connections of this process to anything but loopback, so that no forgotten default calls Google."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            host = str(address[0]).split("%", 1)[0]
            if host != "localhost" and not _is_on_this_machine(ipaddress.ip_address(host)):
                raise OutsideTrafficError(f"a test dialled {host}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
