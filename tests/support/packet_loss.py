"""A link between two network namespaces on which packets can be dropped, as a firewall or a dead host drops them.

Whoever dials over it hears nothing then: no refusal, no reset, no confirmation. It takes root, `ip` of iproute2 and a
kernel that lets us make network namespaces.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

NETWORK = ipaddress.ip_network("198.18.0.0/15")
"""Where the addresses come from: the network for tests of links (RFC 2544), which is nowhere on the Internet."""

_CLONE_NEWNET = 0x40000000


class NoLinkError(Exception):
    """No link can be made here; the message says what is missing."""


class Link:
    """A link whose far end is in a network namespace of its own; a context manager.

    `address` is that of the far end.

    Raises:
        NoLinkError: on entering.
    """

    def __init__(self) -> None:
        number = os.getpid() % (NETWORK.num_addresses // 4)
        base = NETWORK.network_address + 4 * number
        self._near_address, self.address = str(base + 1), str(base + 2)
        self._namespace = f"pr{os.getpid()}"
        self._near, self._far = f"{self._namespace}n", f"{self._namespace}f"

    def __enter__(self) -> Self:
        if shutil.which("ip") is None:
            raise NoLinkError("`ip` is not installed; `apt-get install iproute2` brings it")
        if Path(f"/run/netns/{self._namespace}").exists():
            self._remove()  # of a process that was killed
        self._ip("netns", "add", self._namespace)
        try:
            self._ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._namespace)
            self._ip("address", "add", f"{self._near_address}/30", "dev", self._near)
            self._ip("link", "set", self._near, "up")
            self._ip("-n", self._namespace, "address", "add", f"{self.address}/30", "dev", self._far)
            self.pass_on()
            # So that nobody asks who has the address: an unanswered question would end as a refusal.
            card = self._ip("-n", self._namespace, "-o", "link", "show", self._far).split("link/ether ")[1].split()[0]
            self._ip("neigh", "replace", self.address, "lladdr", card, "nud", "permanent", "dev", self._near)
        except NoLinkError:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def drop(self) -> None:
        """Drop every packet of both ways from now on."""
        self._ip("-n", self._namespace, "link", "set", self._far, "down")

    def pass_on(self) -> None:
        """Drop none any more."""
        self._ip("-n", self._namespace, "link", "set", self._far, "up")

    def listen(self) -> socket.socket:
        """Return a socket that listens at the far end, on a free port; whoever serves it may be on this side."""
        made: list[socket.socket | OSError] = []
        # A socket stays in the namespace of the thread that makes it, and a thread changes its own only.
        thread = threading.Thread(target=lambda: made.append(self._listen_there()))
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def _listen_there(self) -> socket.socket | OSError:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/run/netns/{self._namespace}").open("rb") as file:
            if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
                return OSError(ctypes.get_errno(), "setns")
        return socket.create_server((self.address, 0))

    def _remove(self) -> None:
        self._ip("netns", "delete", self._namespace)

    def _ip(self, *words: str) -> str:
        done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            wanted = "network namespaces need root with CAP_SYS_ADMIN and CAP_NET_ADMIN"
            raise NoLinkError(f"{wanted}: `ip {' '.join(words)}`: {done.stderr.strip()}")
        return done.stdout
