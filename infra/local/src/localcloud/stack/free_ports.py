"""Finds out whether ports are taken, and finds free ones for tests."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator

from localcloud.stack.config import StackConfig

_FIRST_PORT, _LAST_PORT = 20_000, 31_000
"""Below Linux's range of ephemeral ports (32768 on), so that no outgoing connection sits on a port found free."""


def is_port_taken(port: int) -> bool:
    """Tell whether a server could not listen on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are only lingering is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_ports(config: StackConfig) -> dict[str, int]:
    """Return free ports for every name of a stack, with a free run of metadata ports.

    Raises:
        OSError: there are not enough.
    """
    candidates = _blocks(1)
    ports = {name: next(candidates) for name in config.ports if name != "metadata"}
    taken = set(ports.values())
    width = len(config.accounts)
    ports["metadata"] = next(base for base in _blocks(width) if not taken & set(range(base, base + width)))
    return ports


def _blocks(width: int) -> Iterator[int]:
    """Yield first ports of runs of `width` free ports, from a random port on, never overlapping."""
    span = _LAST_PORT - _FIRST_PORT
    start = secrets.randbelow(span)
    for offset in range(0, span, width):
        base = _FIRST_PORT + (start + offset) % span
        if not any(is_port_taken(port) for port in range(base, base + width)):
            yield base
    raise OSError(f"no {width} free ports in a row")
