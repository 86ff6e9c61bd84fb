"""A client that does not read its answer is cut off; one that reads gets all of it, however long it takes to make."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.clock import SystemClock
from chassis.deadlines import Deadlines
from chassis.http.answer_pace import ANSWER_PIECE_BYTES, TimedAnswers

INGEST = Path(__file__).parents[4] / "services" / "ingest" / "Dockerfile"
MEGABYTES = 40
"""More than the buffers of two sockets hold."""

APP = f"""
import threading
from flask import Response
from chassis.clock import SystemClock
from chassis.http.app import new_app

def build():
    app = new_app("ingest", SystemClock(), max_body_bytes=1000, answer_piece_s=1.0)

    @app.get("/large")
    def large():
        return Response(b"x" * ({MEGABYTES} * 1024 * 1024))

    @app.get("/slowly_made")
    def slowly_made():
        def pieces():
            yield b"a"
            threading.Event().wait(3)
            yield b"b"
        return Response(pieces())

    return app
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve an application of the chassis with the command of ingest's Dockerfile: one process of 18 threads."""
    folder = tmp_path_factory.mktemp("unread")
    (folder / "unread_app.py").write_text(APP)
    [cmd] = [line for line in INGEST.read_text().splitlines() if line.startswith("CMD ")]
    command = json.loads(cmd.removeprefix("CMD "))[1:-1]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.set_inheritable(True)
        with subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *command, "--bind", f"fd://{listener.fileno()}", "unread_app:build()"],
            cwd=folder,
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield int(listener.getsockname()[1])
            finally:
                process.terminate()


def ask(port: int, path: str, *, receive_buffer: int = 0) -> socket.socket:
    """Return a connection on which a request was sent and nothing was read."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", port))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode())
    return sock


def rest(sock: socket.socket) -> bytes:
    """Return everything that comes until the end, or until the connection is cut."""
    received = bytearray()
    try:
        while data := sock.recv(1 << 20):
            received += data
    except ConnectionResetError:
        pass
    return bytes(received)


def test_whoever_does_not_read_is_cut_off_and_others_are_served(port: int) -> None:
    """More connections than there are threads, none of which reads; a request behind them is answered."""
    deaf = [ask(port, "/large", receive_buffer=4096) for _ in range(24)]
    behind = ask(port, "/health")

    answer = rest(behind)

    behind.close()
    cut = [rest(sock) for sock in deaf[:3]]
    for sock in deaf:
        sock.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert all(len(received) < MEGABYTES * 1024 * 1024 for received in cut)


def test_whoever_reads_gets_everything(port: int) -> None:
    """In the pieces of the middleware, with the length that was promised."""
    with ask(port, "/large") as sock:
        head, _, body = rest(sock).partition(b"\r\n\r\n")

    assert f"Content-Length: {MEGABYTES * 1024 * 1024}".encode() in head
    assert len(body) == MEGABYTES * 1024 * 1024


def test_the_time_to_make_a_piece_does_not_count(port: int) -> None:
    """A report may wait for the database between two rows."""
    with ask(port, "/slowly_made") as sock:
        received = rest(sock)

    assert b"b" in received.partition(b"\r\n\r\n")[2]


def test_an_answer_is_closed_and_its_watch_ends_when_the_client_goes() -> None:
    """The socket may serve another request, which must not be cut."""
    closed = threading.Event()

    class Answer:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x" * (3 * ANSWER_PIECE_BYTES + 1)

        def close(self) -> None:
            closed.set()

    ours, theirs = socket.socketpair()
    with ours, theirs:
        timed = TimedAnswers(lambda _environ, _start: Answer(), Deadlines(SystemClock(), name="t"), piece_s=0.1)
        answer = iter(timed({"gunicorn.socket": ours}, None))
        first = next(answer)
        answer.close()  # type: ignore[attr-defined]
        time.sleep(1.5)
        theirs.sendall(b"y")

        assert (len(first), closed.is_set(), ours.recv(1)) == (ANSWER_PIECE_BYTES, True, b"y")


def test_pieces_are_the_answer() -> None:
    """Nothing is lost and nothing is more than a piece; other servers get the answer as it is."""
    parts = [b"", b"a" * (2 * ANSWER_PIECE_BYTES + 7), b"b"]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timed = TimedAnswers(lambda _environ, _start: iter(parts), Deadlines(SystemClock(), name="t"))
        pieces = list(timed({"gunicorn.socket": ours}, None))

    assert (b"".join(pieces), max(map(len, pieces))) == (b"".join(parts), ANSWER_PIECE_BYTES)
    assert list(timed({}, None)) == parts
