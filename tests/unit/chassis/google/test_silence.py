"""Silence is bounded wherever it begins, and what moves goes on however long it takes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
from google.api_core.exceptions import GoogleAPIError, ServiceUnavailable
from urllib3.exceptions import ReadTimeoutError

from chassis.google.silence import SilenceBounds, bound, is_silence
from chassis.google.storage_client import STORAGE_FAILURES, retried
from support.scripted_origin import Exchange, ScriptedOrigin, answer, head, silent

CONNECT_S, SILENCE_S = 0.5, 0.6
LATER: Exception = ServiceUnavailable("later")  # type: ignore[no-untyped-call]
GENEROUS_S = 10.0
"""Far above the bounds, for busy machines; without them these calls take as long as `UNBOUNDED`."""

UNBOUNDED = 60.0
BODY = b"x" * (16 * 1024 * 1024)  # more than the buffers of both sockets take


@contextmanager
def session(**options: Any) -> Iterator[requests.Session]:
    """Give a session with short bounds."""
    with requests.Session() as made:
        yield bound(made, SilenceBounds(connect_s=CONNECT_S, silence_s=SILENCE_S, **options))


def seconds_until_silence(call: Callable[[], Any]) -> float:
    """Return how long a call took to end as a silence."""
    begun = time.monotonic()
    with pytest.raises(STORAGE_FAILURES) as caught:
        call()
    assert is_silence(caught.value)
    return time.monotonic() - begun


@contextmanager
def swallowing_addresses(count: int) -> Iterator[list[tuple[Any, ...]]]:
    """Give addresses whose packets are dropped: their queues of connections are full."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(2):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            found.append((socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname()))
        yield found


def test_a_server_that_says_nothing(origin: ScriptedOrigin) -> None:
    """Whatever time the caller gives."""
    origin.on("/", silent())
    with session() as made:
        assert seconds_until_silence(lambda: made.get(origin.url(), timeout=UNBOUNDED)) < GENEROUS_S


def test_an_answer_that_stops_in_the_middle(origin: ScriptedOrigin) -> None:
    """As Google's library reads it: piece by piece, not decoded."""

    def stop(exchange: Exchange) -> None:
        exchange.send(head(200, [("Content-Length", "1000")]) + b"x" * 10)
        exchange.pause(UNBOUNDED)

    origin.on("/", stop)
    with session() as made:
        stopped = made.get(origin.url(), stream=True)
        assert seconds_until_silence(lambda: list(stopped.raw.stream(64, decode_content=False))) < GENEROUS_S


def test_a_server_that_does_not_read() -> None:
    """The body fills the buffers and goes no further."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, session() as made:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        assert seconds_until_silence(lambda: made.post(url, data=BODY, timeout=UNBOUNDED)) < GENEROUS_S


def test_addresses_that_drop_packets_have_one_time_together() -> None:
    """A name of Google has a dozen."""
    with swallowing_addresses(12) as found, session(resolve=lambda *_: found) as made:
        took = seconds_until_silence(lambda: made.get("http://storage.example/", timeout=UNBOUNDED))
    assert took < 12 * CONNECT_S


def test_a_good_address_behind_a_bad_one_is_found(origin: ScriptedOrigin) -> None:
    """Within the same time."""
    good = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", origin.port))
    origin.on("/", answer(b"here"))
    with swallowing_addresses(1) as found, session(resolve=lambda *_: [*found, good]) as made:
        assert made.get("http://storage.example/").content == b"here"


def test_a_name_that_nobody_answers_for() -> None:
    """The lookup itself cannot be ended, so nobody waits for it."""
    asked_for_ever = threading.Event()
    with session(resolve=lambda *_: asked_for_ever.wait(UNBOUNDED)) as made:
        assert seconds_until_silence(lambda: made.get("http://storage.example/")) < GENEROUS_S
    asked_for_ever.set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://a.example/"])
def test_what_is_refused_or_unknown_is_no_silence(url: str) -> None:
    """It may be tried again at once."""

    def unknown(*_: Any) -> Any:
        raise socket.gaierror

    resolve = unknown if "example" in url else socket.getaddrinfo
    with session(resolve=resolve) as made, pytest.raises(requests.ConnectionError) as caught:
        made.get(url)
    assert not is_silence(caught.value)


def test_a_slow_upload_takes_the_time_it_needs() -> None:
    """The receiver takes three times as long as anybody may be silent."""
    received = bytearray()

    def receive(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while b"\r\n\r\n" not in received:
                received.extend(connection.recv(65_536))
            end = received.index(b"\r\n\r\n") + 4 + len(BODY)
            for part in range(1, 17):
                while len(received) < end * part // 16:
                    received.extend(connection.recv(end * part // 16 - len(received)))
                threading.Event().wait(SILENCE_S / 5)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        receiver = threading.Thread(target=receive, args=(listener,))
        receiver.start()
        begun = time.monotonic()
        with session() as made:
            answered = made.post(f"http://127.0.0.1:{listener.getsockname()[1]}/", data=BODY)
        receiver.join(UNBOUNDED)

    assert answered.status_code == 200
    assert received.endswith(BODY[-1000:])
    assert time.monotonic() - begun > 2 * SILENCE_S


def test_a_slow_download_takes_the_time_it_needs(origin: ScriptedOrigin) -> None:
    """Each piece comes in time."""

    def drip(exchange: Exchange) -> None:
        exchange.send(head(200, [("Content-Length", "12")]))
        for _ in range(12):
            exchange.pause(SILENCE_S / 4)
            exchange.send(b"x")

    origin.on("/", drip)
    with session() as made:
        assert made.get(origin.url()).content == b"x" * 12


def test_the_next_call_after_a_silence_works(origin: ScriptedOrigin) -> None:
    """On a connection of its own."""
    origin.on("/", silent())
    with session() as made:
        seconds_until_silence(lambda: made.get(origin.url()))
        origin.on("/", answer(b"again"))
        assert made.get(origin.url()).content == b"again"


def test_silence_is_not_tried_again_and_failures_are() -> None:
    """Each silence takes its whole time, a failure none."""
    tries: list[Exception] = []

    def fail(error: Exception) -> Any:
        tries.append(error)
        raise error

    with pytest.raises(requests.Timeout):
        retried(for_s=0.8)(fail)(requests.ReadTimeout("read timed out"))
    assert len(tries) == 1
    with pytest.raises(GoogleAPIError):
        retried(for_s=0.8)(fail)(LATER)
    assert len(tries) > 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (requests.ConnectTimeout(), True),
        (requests.ConnectionError(ReadTimeoutError(None, "/", "x")), True),  # type: ignore[arg-type]
        (requests.ConnectionError("aborted", TimeoutError()), True),
        (requests.ConnectionError("reset", ConnectionResetError()), False),
        (LATER, False),
    ],
)
def test_what_is_silence(error: Exception, expected: bool) -> None:
    """However deep it lies."""
    outer = GoogleAPIError("failed")
    outer.__cause__ = error
    assert (is_silence(error), is_silence(outer)) == (expected, expected)
