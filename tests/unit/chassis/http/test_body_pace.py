"""Slow clients: a body that comes too slowly is cut off, and whoever waits behind it is served."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from werkzeug.exceptions import RequestTimeout

from chassis.clock import SystemClock
from chassis.deadlines import Deadlines
from chassis.http.body_pace import BodyPace, TimedBody

INGEST = Path(__file__).parents[4] / "services" / "ingest" / "Dockerfile"
APP = """
from flask import request
from chassis.clock import SystemClock
from chassis.http.app import new_app

def build():
    app = new_app("ingest", SystemClock(), max_body_bytes=1_000_000, body_timeout_s=1.0)

    @app.post("/echo")
    def echo():
        return {"size": len(request.get_data())}

    return app
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve an application of the chassis with the command of ingest's Dockerfile: one process of 18 threads."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow_app.py").write_text(APP)
    [cmd] = [line for line in INGEST.read_text().splitlines() if line.startswith("CMD ")]
    command = json.loads(cmd.removeprefix("CMD "))[1:-1]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.set_inheritable(True)
        port = listener.getsockname()[1]
        with subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *command, "--bind", f"fd://{listener.fileno()}", "slow_app:build()"],
            cwd=folder,
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield port
            finally:
                process.terminate()
                process.wait(20)


def answer_of(sock: socket.socket) -> bytes:
    """Return everything until the server closes the connection."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def begin(port: int, framing: str) -> socket.socket:
    """Open a connection and send headers that announce a body."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.sendall(f"POST /echo HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
    return sock


@pytest.mark.fault("F18")
@pytest.mark.threat("T6")
def test_slow_clients_in_every_thread_do_not_keep_another_one_out(port: int) -> None:
    """As many as the process has threads: each gets its 408 in time, and the one behind them its answer."""
    with ExitStack() as opened:
        slow = [opened.enter_context(begin(port, "Content-Length: 100000")) for _ in range(18)]
        stopped = threading.Event()

        def drip() -> None:
            while not stopped.wait(0.2):
                for sock in slow:
                    try:
                        sock.send(b"x")
                    except OSError:
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            with begin(port, "Connection: close\r\nContent-Length: 5") as honest:
                honest.sendall(b"hello")
                served = answer_of(honest)
            heads = [sock.recv(12) for sock in slow]
            rest = answer_of(slow[0])
        finally:
            stopped.set()
            dripping.join()

    assert b'{"size":5}' in served
    assert heads == [b"HTTP/1.1 408"] * 18
    error = json.loads(rest.partition(b"\r\n\r\n")[2])["error"]
    assert (error["code"], error["status"]) == (408, "DEADLINE_EXCEEDED")
    assert error["details"][0]["reason"] == "BODY_TIMEOUT"
    assert error["details"][0]["metadata"]["limit"] == "1"


def test_a_chunked_body_is_bounded_too(port: int) -> None:
    """It announces no length and never ends."""
    with begin(port, "Transfer-Encoding: chunked") as sock:
        sock.sendall(b"5\r\nhello\r\n")
        assert sock.recv(12) == b"HTTP/1.1 408"


def test_a_connection_is_left_alone_after_a_body_in_time() -> None:
    """The watch ends with the body: the next request on the connection can still be read when its time is over."""
    client, server = socket.socketpair()
    with client, server:
        body = TimedBody(
            io.BytesIO(b"hello"), server, BodyPace(timeout_s=0.2), SystemClock(), Deadlines(SystemClock(), name="t")
        )
        assert body.read() == b"hello"
        threading.Event().wait(0.4)
        client.send(b"next")
        assert server.recv(10) == b"next"


@pytest.mark.parametrize(
    ("received", "allowed_s"), [(0, 10.0), (8192, 11.0), (8192 * 100, 110.0), (8192 * 1000, 300.0)]
)
def test_what_has_come_earns_more_time(received: int, allowed_s: float) -> None:
    """A second for each 8 KiB, and an end that nothing moves."""
    assert BodyPace().allowed_s(received) == allowed_s


def test_a_client_below_the_pace_is_cut_off_long_before_the_end_of_time() -> None:
    """The grace is over and hardly anything has come."""
    client, server = socket.socketpair()
    with client, server, server.makefile("rb") as stream:
        client.send(b"x")
        body = TimedBody(
            stream, server, BodyPace(timeout_s=600, grace_s=0.2), SystemClock(), Deadlines(SystemClock(), name="t")
        )
        with pytest.raises(RequestTimeout):
            body.read(100)
