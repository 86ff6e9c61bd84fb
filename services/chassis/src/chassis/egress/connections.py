"""The connections of one guarded call: where they may go, until when, and how all of them are ended."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import certifi
import urllib3
from urllib3.util.ssl_ import create_urllib3_context

from chassis.clock import Clock
from chassis.egress.address_policy import Network
from chassis.egress.answers import Answer


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Where calls may go and how much they may take.

    `allowed_networks` are admitted although they are not public, on any port; public addresses only on `ports`.
    """

    allowed_networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({80, 443, 8080, 8443})
    max_redirects: int = 5
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 15.0
    total_timeout_s: float = 60.0
    max_body_bytes: int = 25 * 1024 * 1024


@dataclass(slots=True)
class Call:
    """One call's deadline, connections, sockets and answers."""

    policy: EgressPolicy
    deadline: float
    clock: Clock
    connections: list[urllib3.connection.HTTPConnection] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    expired: bool = False

    def remaining(self) -> float:
        """Return the seconds that are left; negative when it is over."""
        return self.deadline - self.clock.monotonic()

    def expire(self) -> None:
        """End the call: whoever reads or writes on its sockets is woken."""
        with self.lock:
            self.expired = True
            for sock in self.sockets:
                _shut_down(sock)

    def answer(self, *args: Any, **kwargs: Any) -> Answer:
        """Make an answer as http.client does, and keep it to be closed."""
        answer = Answer(*args, **kwargs)
        self.answers.append(answer)
        return answer

    def watch(self, sock: socket.socket) -> None:
        """Let the deadline shut a socket down."""
        # A duplicate, because TLS takes the original's descriptor over.
        twin = sock.dup()
        with self.lock:
            self.sockets.append(twin)
            if self.expired:
                _shut_down(twin)

    def close(self) -> None:
        """Close everything that the call has opened."""
        with self.lock:
            for sock in self.sockets:
                sock.close()
            self.sockets.clear()
        for connection in self.connections:
            connection.close()
        self.connections.clear()
        # urllib3 lets go of an answer whose headers it refuses, and the answer holds its descriptor open.
        for answer in self.answers:
            answer.close()
        self.answers.clear()


def _shut_down(sock: socket.socket) -> None:
    # Already closed by the peer or by urllib3: nothing left to cut.
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


Dial = Callable[[Call, str, int], socket.socket]
"""Connects to an address that was checked, given the call, the host and the port."""


@lru_cache(maxsize=1)
def trusting_context() -> ssl.SSLContext:
    """Return the one TLS context of this process: TLS 1.2 or later, the certificate authorities of `certifi`.

    Loading those takes 30 to 40 ms of CPU, so it is done once and not per connection.
    """
    context = create_urllib3_context()
    context.load_verify_locations(certifi.where())
    return context


class PinnedHTTP(urllib3.connection.HTTPConnection):
    """A connection of one call, to an address that was checked for it."""

    def __init__(self, dial: Dial, call: Call, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._dial = dial
        self._call = call
        call.connections.append(self)
        self.response_class = call.answer  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        return self._dial(self._call, self._dns_host, self.port)


class PinnedHTTPS(urllib3.connection.HTTPSConnection):
    """The same within TLS."""

    def __init__(self, dial: Dial, call: Call, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._dial = dial
        self._call = call
        call.connections.append(self)
        self.response_class = call.answer  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        return self._dial(self._call, self._dns_host, self.port)
