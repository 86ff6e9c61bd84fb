"""Headers that never come: whoever sends one byte and waits holds a thread for a moment only."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[4] / "services"
APP = """
import threading
import time

from chassis.clock import SystemClock
from chassis.http import gunicorn_worker
from chassis.http.app import new_app

def build():
    gunicorn_worker.HEAD_TIMEOUT_S = 1
    gunicorn_worker.NEXT_REQUEST_S = 2
    app = new_app("reporter", SystemClock(), max_body_bytes=1_000_000)
    lock = threading.Lock()
    at_work = []

    @app.get("/crowd")
    def crowd():
        with lock:
            at_work.append(1)
            seen = len(at_work)
        time.sleep(0.3)
        with lock:
            at_work.pop()
        return str(seen)

    @app.get("/thread")
    def thread():
        return str(threading.get_ident())

    return app
"""
THREADS = 10
NEXT_REQUEST_S = 2
REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
KEEPING = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"


def command_of(service: str) -> list[str]:
    """Return what a Dockerfile starts."""
    [cmd] = [line for line in (SERVICES / service / "Dockerfile").read_text().splitlines() if line.startswith("CMD ")]
    command: list[str] = json.loads(cmd.removeprefix("CMD "))
    return command


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve an application of the chassis with the command of the reporter's Dockerfile: one process, ten threads."""
    folder = tmp_path_factory.mktemp("heads")
    (folder / "heads_app.py").write_text(APP)
    command = command_of("reporter")[1:-1]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.set_inheritable(True)
        with subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *command, "--bind", f"fd://{listener.fileno()}", "heads_app:build()"],
            cwd=folder,
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield listener.getsockname()[1]
            finally:
                process.terminate()
                process.wait(20)


def answer_of(sock: socket.socket) -> bytes:
    """Return everything until the server closes the connection."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def opened(stack: ExitStack, port: int, data: bytes) -> socket.socket:
    """Open a connection and send something."""
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
    sock.sendall(data)
    return sock


@pytest.mark.threat("T6")
@pytest.mark.parametrize("begun", [b"G", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_twice_as_many_beginnings_as_threads_keep_nobody_out(port: int, begun: bytes) -> None:
    """One byte, or half of the headers: each connection is closed in time, and the one behind them has its answer."""
    with ExitStack() as stack:
        slow = [opened(stack, port, begun) for _ in range(2 * THREADS)]
        honest = opened(stack, port, REQUEST)

        served = answer_of(honest)
        endings = [sock.recv(100) for sock in slow]

    assert served.startswith(b"HTTP/1.1 200")
    assert endings == [b""] * len(slow)


def is_closed_while_dripping(sock: socket.socket, *, within_s: float) -> bool:
    """Send a byte ten times a second until the server closes the connection, or `within_s` have passed."""
    deadline = time.monotonic() + within_s
    sock.settimeout(0.1)
    while time.monotonic() < deadline:
        try:
            sock.sendall(b"x")
            if sock.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_bytes_that_drip_give_no_more_time(port: int) -> None:
    """The limit is one for the whole head, not for each byte."""
    with ExitStack() as stack:
        sock = opened(stack, port, b"GET /health HTTP/1.1\r\nX: ")

        assert is_closed_while_dripping(sock, within_s=20)


def test_a_kept_connection_serves_a_second_request(port: int) -> None:
    """The watch over one head ends with it."""
    with ExitStack() as stack:
        sock = opened(stack, port, REQUEST.replace(b"Connection: close\r\n", b"") + REQUEST)

        assert answer_of(sock).count(b"HTTP/1.1 200") == 2


def asked(sock: socket.socket, path: str) -> bytes:
    """Make a request on a kept connection and return the body of its answer."""
    sock.sendall(KEEPING.format(path).encode())
    return answered(sock)


def answered(sock: socket.socket) -> bytes:
    """Return the body of the next answer of a kept connection."""
    with sock.makefile("rb") as answer:
        assert answer.readline().startswith(b"HTTP/1.1 200")
        headers = dict(line.strip().lower().split(b": ", 1) for line in iter(answer.readline, b"\r\n"))
        return answer.read(int(headers[b"content-length"]))


def test_requests_that_follow_soon_are_served_by_the_same_thread(port: int) -> None:
    """Nobody hands them over."""
    with ExitStack() as stack:
        sock = opened(stack, port, b"")

        assert len({asked(sock, "/thread") for _ in range(5)}) == 1


def test_a_kept_connection_serves_a_request_that_comes_late(port: int) -> None:
    """After the thread has waited for it in vain."""
    with ExitStack() as stack:
        sock = opened(stack, port, b"")
        asked(sock, "/thread")
        time.sleep(NEXT_REQUEST_S + 0.5)

        assert asked(sock, "/thread")


def test_threads_that_wait_for_a_next_request_keep_nobody_out(port: int) -> None:
    """Three times as many kept connections as threads; one more is served before any of them has waited in vain."""
    with ExitStack() as stack:
        for _ in range(3 * THREADS):
            asked(opened(stack, port, b""), "/thread")
        began = time.monotonic()
        assert answer_of(opened(stack, port, REQUEST)).startswith(b"HTTP/1.1 200")

        assert time.monotonic() - began < NEXT_REQUEST_S


def test_no_more_requests_are_at_work_than_the_command_says(port: int) -> None:
    """Though as many threads again may wait for one."""
    with ExitStack() as stack:
        kept = [opened(stack, port, b"") for _ in range(3 * THREADS)]
        for sock in kept:
            asked(sock, "/thread")
        for sock in kept:
            sock.sendall(KEEPING.format("/crowd").encode())
        crowds = [int(answered(sock)) for sock in kept]

    assert max(crowds) == THREADS


@pytest.mark.parametrize("service", ["ingest", "compressor", "reporter"])
def test_every_service_is_started_with_it(service: str) -> None:
    """In its Dockerfile, which the local platform reads too."""
    command = command_of(service)

    assert command[command.index("--worker-class") + 1] == "chassis.http.gunicorn_worker.TimedHeads"
