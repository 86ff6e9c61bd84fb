"""Request bodies: a client that sends one too slowly is cut off, and what a form spooled to disk is always closed.

A thread that reads a body is gone for all others until the body is there, and gunicorn's threads read without any
time limit. The rule is that of Apache's mod_reqtimeout (https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html): a
body has a time of grace, every piece received earns more, up to an end that nothing moves. Headers are not bounded
here: gunicorn reads them before it calls the application.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, Annotated, Any

from flask import Request
from werkzeug.exceptions import RequestTimeout

from chassis.clock import Clock
from chassis.deadlines import Deadlines
from chassis.limited import Limited
from chassis.settings import BODY_TIMEOUT_S

BODY_GRACE_S: Annotated[
    int,
    Limited(
        "seconds",
        "before this a body may be as slow as it likes",
        "Time after which a body must come at `body_min_bytes_per_s`",
    ),
] = 10
"""Seconds that every body has, however few of its bytes have come."""

BODY_MIN_BYTES_PER_S: Annotated[
    int, Limited("bytes per second", "408 `BODY_TIMEOUT`, the connection is closed", "Slowest body after the grace")
] = 8192
"""A body that is slower than this, after the time of grace, is not waited for."""

_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class BodyPace:
    """How slow a body may be: `timeout_s` for all of it, and after `grace_s` at least `min_bytes_per_s`."""

    timeout_s: float = BODY_TIMEOUT_S
    grace_s: float = BODY_GRACE_S
    min_bytes_per_s: float = BODY_MIN_BYTES_PER_S

    def allowed_s(self, received: int) -> float:
        """Return how many seconds may have passed since the begin when so many bytes are here."""
        return min(self.timeout_s, self.grace_s + received / self.min_bytes_per_s)


class TimedBody:
    """A `wsgi.input` that ends with 408 when the client is slower than its pace.

    A read that waits for the client cannot be interrupted, so the receiving half of the socket is shut down; the answer
    still goes out on the other half.

    Args:
        body: gunicorn's body.
        sock: the connection it comes from.
        pace: how slow it may be.
        clock: its monotonic time is the one that counts.
        deadlines: look at the pace.
    """

    def __init__(
        self, body: IO[bytes], sock: socket.socket, pace: BodyPace, clock: Clock, deadlines: Deadlines
    ) -> None:
        self._body = body
        self._sock = sock
        self._pace = pace
        self._clock = clock
        self._deadlines = deadlines
        self._received = 0
        self._begun = 0.0
        self._deadline: int | None = None
        self._expired = False

    def read(self, size: int | None = -1) -> bytes:
        """Return at most `size` bytes, all there are when it is negative or None.

        Raises:
            RequestTimeout: the client was too slow.
        """
        wanted = None if size is None or size < 0 else size
        pieces = bytearray()
        while wanted is None or len(pieces) < wanted:
            asked = _PIECE_BYTES if wanted is None else min(_PIECE_BYTES, wanted - len(pieces))
            piece = self._timed(partial(self._body.read, asked))
            pieces += piece
            if len(piece) < asked:
                self.stop()
                break
        return bytes(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """Return the next line.

        Raises:
            RequestTimeout: the client was too slow.
        """
        return self._timed(partial(self._body.readline, -1 if size is None else size))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def stop(self) -> None:
        """End the watch; what is not read by now is not waited for. The connection may serve another request."""
        if self._deadline is not None:
            self._deadlines.end(self._deadline)

    def _timed(self, read: Callable[[], bytes]) -> bytes:
        if self._deadline is None:
            self._begun = self._clock.monotonic()
            self._deadline = self._deadlines.begin(self._left_s(), self._look)
        try:
            piece = read()
        except Exception:
            # The cut looks like a client that went away; whose doing it was decides the answer.
            if not self._expired:
                raise
            piece = b""
        if self._expired:
            raise RequestTimeout
        self._received += len(piece)
        return piece

    def _look(self) -> float | None:
        left_s = self._left_s()
        if left_s > 0:
            return left_s
        self._expired = True
        with suppress(OSError):  # the client has gone: nothing left to cut
            self._sock.shutdown(socket.SHUT_RD)
        return None

    def _left_s(self) -> float:
        return self._begun + self._pace.allowed_s(self._received) - self._clock.monotonic()


class TimedBodies:
    """WSGI middleware that times the bodies of a gunicorn server; other servers do not say what their socket is."""

    def __init__(self, wsgi_app: Any, pace: BodyPace, clock: Clock, deadlines: Deadlines) -> None:
        self._wsgi_app = wsgi_app
        self._pace = pace
        self._clock = clock
        self._deadlines = deadlines

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        sock = environ.get("gunicorn.socket")
        if sock is None:
            served: Iterable[bytes] = self._wsgi_app(environ, start_response)
            return served
        body = TimedBody(environ["wsgi.input"], sock, self._pace, self._clock, self._deadlines)
        environ["wsgi.input"] = body
        try:
            # Our routes read what they need before they answer.
            served = self._wsgi_app(environ, start_response)
        finally:
            body.stop()
        return served


class ClosingRequest(Request):
    """A request that closes the temporary files of its form, also those of a form that broke off half-way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._spooled: list[IO[bytes]] = []

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        stream = super()._get_file_stream(*args, **kwargs)
        self._spooled.append(stream)
        return stream

    def close(self) -> None:
        """Close every file; Flask calls this at the end of each request."""
        super().close()
        for stream in self._spooled:
            stream.close()
