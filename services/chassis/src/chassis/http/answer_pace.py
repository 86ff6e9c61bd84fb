"""Answers: a client that does not read its answer is cut off, so that it cannot keep a thread.

A thread that writes waits until the client has room, and neither gunicorn nor the socket has a limit for that. The
answer is written in pieces, and each piece has the same time to be taken. How long the application takes to make a
piece does not count.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from chassis.deadlines import Deadlines
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


class _Pieces:
    """An answer in pieces; between two of them the server waits for its client."""

    def __init__(self, answer: Iterable[bytes], sock: socket.socket, deadlines: Deadlines, piece_s: float) -> None:
        self._answer = answer
        self._pieces = _in_pieces(answer)
        self._cut_off = partial(_cut_off, sock)
        self._deadlines = deadlines
        self._piece_s = piece_s
        self._deadline: int | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._end_deadline()
        piece = next(self._pieces)
        self._deadline = self._deadlines.begin(self._piece_s, self._cut_off)
        return piece

    def close(self) -> None:
        """End the answer, whole or not."""
        self._end_deadline()
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadlines.end(self._deadline)
            self._deadline = None


def _cut_off(sock: socket.socket) -> None:
    with suppress(OSError):  # the client has gone: nothing left to cut
        sock.shutdown(socket.SHUT_RDWR)


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

    def __init__(self, wsgi_app: Any, deadlines: Deadlines, *, piece_s: float = ANSWER_PIECE_S) -> None:
        self._wsgi_app = wsgi_app
        self._deadlines = deadlines
        self._piece_s = piece_s

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        answer: Iterable[bytes] = self._wsgi_app(environ, start_response)
        sock = environ.get("gunicorn.socket")
        return answer if sock is None else _Pieces(answer, sock, self._deadlines, self._piece_s)
