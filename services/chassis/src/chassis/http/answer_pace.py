"""Answers: a client that does not read its answer is cut off, so that it cannot keep a thread.

A thread that writes waits until the client has room, and neither gunicorn nor the socket has a limit for that. The
answer is written in pieces, and each piece has the same time to be taken. How long the application takes to make a
piece does not count.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Annotated, Any

from chassis.clock import Clock
from chassis.limited import Limited

ANSWER_PIECE_BYTES = 64 * 1024

ANSWER_PIECE_S: Annotated[
    int,
    Limited(
        "seconds",
        "the connection is closed",
        f"Time in which a client must take each {ANSWER_PIECE_BYTES // 1024} KiB of its answer",
    ),
] = 10

_LOOK_EVERY_S = 0.5


class WriteWatch:
    """Shuts down the connections whose present piece has been waiting for too long; one thread for all of them.

    Args:
        piece_s: seconds that a piece has.
        clock: measures them.
    """

    def __init__(self, piece_s: float, clock: Clock) -> None:
        self._piece_s = piece_s
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[float, socket.socket]] = {}
        self._thread: threading.Thread | None = None

    def begin(self, sock: socket.socket) -> None:
        """Begin to wait for a client to take a piece."""
        with self._lock:
            self._waiting[id(sock)] = (self._clock.monotonic(), sock)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="answer-watcher", daemon=True)
                self._thread.start()

    def end(self, sock: socket.socket) -> None:
        """End it: the piece was taken, or the client has gone."""
        with self._lock:
            self._waiting.pop(id(sock), None)

    def _watch(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_LOOK_EVERY_S)
            begun_before = self._clock.monotonic() - self._piece_s
            with self._lock:
                for key, (begun, sock) in list(self._waiting.items()):
                    if begun < begun_before:
                        del self._waiting[key]
                        with suppress(OSError):  # the client has gone: nothing left to cut
                            sock.shutdown(socket.SHUT_RDWR)


class _Pieces:
    """An answer in pieces; between two of them the server waits for its client."""

    def __init__(self, answer: Iterable[bytes], sock: socket.socket, watch: WriteWatch) -> None:
        self._answer = answer
        self._pieces = _in_pieces(answer)
        self._sock = sock
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._watch.end(self._sock)
        piece = next(self._pieces)
        self._watch.begin(self._sock)
        return piece

    def close(self) -> None:
        """End the answer, whole or not."""
        self._watch.end(self._sock)
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()


def _in_pieces(answer: Iterable[bytes]) -> Iterator[bytes]:
    for part in answer:
        if len(part) <= ANSWER_PIECE_BYTES:
            yield part
            continue
        view = memoryview(part)
        for start in range(0, len(part), ANSWER_PIECE_BYTES):
            yield bytes(view[start : start + ANSWER_PIECE_BYTES])


class TimedAnswers:
    """WSGI middleware that times the answers of a gunicorn server; other servers do not say what their socket is."""

    def __init__(self, wsgi_app: Any, clock: Clock, *, piece_s: float = ANSWER_PIECE_S) -> None:
        self._wsgi_app = wsgi_app
        self._watch = WriteWatch(piece_s, clock)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        answer: Iterable[bytes] = self._wsgi_app(environ, start_response)
        sock = environ.get("gunicorn.socket")
        return answer if sock is None else _Pieces(answer, sock, self._watch)
