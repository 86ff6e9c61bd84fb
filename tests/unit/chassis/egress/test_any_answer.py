"""Whatever a peer says ends in a response or in a recorded fault, never in another exception."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressError, EgressPolicy, EgressResponse


class Parrot:
    """A server that sends the bytes it was given as its answer, whatever is asked, and hangs up."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.answer = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, suppress(OSError):
                sock.recv(65536)
                sock.sendall(self.answer)

    def stop(self) -> None:
        """End it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture(scope="module")
def parrot() -> Iterator[Parrot]:
    parrot = Parrot()
    yield parrot
    parrot.stop()


EGRESS = Egress(
    EgressPolicy(
        allowed_networks=parse_networks(("127.0.0.0/8", "::1/128")),
        total_timeout_s=5,
        read_timeout_s=2,
        connect_timeout_s=2,
        max_body_bytes=10_000,
    ),
    user_agent="test",
    clock=SystemClock(),
)

NAMES = [
    *("Location", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Set-Cookie", "Retry-After", "Date"),
    *("Content-Type", "Connection", "Expires", "Content-Range", "X", ""),
]
ODD_VALUES = [
    *("", " ", "-1", "+5", "1_000", "9" * 5000, "0x10", "5, 6", "chunked", "gzip, br, deflate", "gzip", "identity"),
    *("http://[::1", "//", "http://", "http://a:99999/", "javascript:1", "http://\x00/", "\udcff", "http://%", "?#"),
    *("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", "Thu, 99 Foo 0000 99:99:99 GMT", "a=b; Expires=" + "9" * 400),
    *("a=b; Max-Age=99999999999999999999", "a=b; Domain=" + "." * 300, "http://" + "a" * 300 + "/", "//[v1.x]/"),
]
VALUES = st.sampled_from(ODD_VALUES) | st.text(max_size=30)
STATUS_LINES = st.sampled_from(
    [
        *("HTTP/1.1 200 OK", "HTTP/1.1 302 Found", "HTTP/1.1 503", "HTTP/1.1 206 P", "HTTP/1.1 999 x"),
        *("HTTP/1.1 100 x", "HTTP/1.0 200", "HTTP/9.9 200 OK", "HTTP/1.1 -1 x", "HTTP/1.1 2e2 x", "HTTP/1.1", ""),
        *("ICY 200 OK", "\x00"),
    ]
) | st.text(max_size=20)
BODIES = st.binary(max_size=60) | st.sampled_from(
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nx",
        b"ffffffffffffffffffff\r\nx",
        b"\x1f\x8b\x08\x00",
        b"\x78\x9c",
        b"x" * 11_000,
    ]
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Return an answer that is nearly HTTP."""
    headers = draw(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5))
    lines = [draw(STATUS_LINES), *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + draw(BODIES)


def outcome(parrot: Parrot, answer: bytes) -> EgressResponse | EgressError:
    """Return what a call ends with."""
    parrot.answer = answer
    try:
        return EGRESS.request("GET", f"http://127.0.0.1:{parrot.port}/", skip_error_bodies=False)
    except EgressError as error:
        return error


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@example(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n")
@example(b"HTTP/1.1 302 Found\r\nLocation: //[v1.x]/\r\n\r\n")
@example(
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Max-Age=99999999999999999999\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"
)
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n")
@given(answers() | st.binary(max_size=200))
def test_any_answer_is_a_response_or_a_fault(parrot: Parrot, answer: bytes) -> None:
    """Status lines, headers, dates, cookies, redirects, encodings and chunks of any form."""
    ended = outcome(parrot, answer)

    assert isinstance(ended, EgressResponse | EgressError)
    if isinstance(ended, EgressResponse):
        assert len(ended.body) <= 10_000


@pytest.mark.parametrize("location", [value for value in ODD_VALUES if "\x00" not in value and "\udcff" not in value])
def test_any_redirect_is_a_response_or_a_fault(parrot: Parrot, location: str) -> None:
    """A target that cannot be read is one of the answer's faults."""
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"

    assert isinstance(outcome(parrot, head.encode()), EgressResponse | EgressError)


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6",
        "HTTP/1.1 200 OK\r\nContent-Length: 5",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999",
        "HTTP/9.9 x",
        "HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 5",
    ],
)
def test_a_call_leaves_no_descriptor_open(parrot: Parrot, head: str) -> None:
    """Nor does it wait for the garbage collector, while somebody keeps the error."""
    parrot.answer = f"{head}\r\n\r\nhello".encode()
    gc.collect()
    gc.disable()
    try:
        before = open_to(parrot.port)
        kept = outcome(parrot, parrot.answer)

        assert open_to(parrot.port) == before, kept
    finally:
        gc.enable()


def open_to(port: int) -> int:
    """Return how many connections to a port this process holds open on its client's side."""
    connections = psutil.Process().net_connections(kind="tcp")
    return sum(1 for connection in connections if connection.raddr and connection.raddr.port == port)
