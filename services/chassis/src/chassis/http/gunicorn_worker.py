"""gunicorn's threads: the head of a request can hold none for long, and one that has served waits for the next request.

gunicorn reads request line and headers without a time limit once their first byte is there: eight connections of one
byte each would hold eight threads for ever. And it hands each request of a kept connection from its main thread to
another one and back, which costs more than many a request; our own parts send the next one soon, so the thread that has
served looks for it itself for a moment. For that there are threads beside those that the command line names: never are
more requests at work than that says. Named in each Dockerfile:
`--worker-class chassis.http.gunicorn_worker.TimedHeads`.
"""

from __future__ import annotations

import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from gunicorn.workers.gthread import ThreadWorker

from chassis.clock import SystemClock
from chassis.deadlines import Deadlines
from chassis.limited import Limited

HEAD_TIMEOUT_S: Annotated[
    int, Limited("seconds", "the connection is closed", "Time in which a request's headers must have come")
] = 10
"""As long as a body has before its pace counts."""

NEXT_REQUEST_S = 0.5
"""Seconds for which a thread waits for the next request of its connection."""

_deadlines = Deadlines(SystemClock(), name="head-deadlines")


class TimedHeads(ThreadWorker):  # type: ignore[misc]
    """A worker with threads that closes a connection whose next request is not begun in time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._at_work = threading.Semaphore(self.cfg.threads)
        self._waiting = threading.Semaphore(self.cfg.threads)

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return threads for as many requests as may be at work, and as many again that may wait for one."""
        return ThreadPoolExecutor(max_workers=2 * self.cfg.threads)

    def handle(self, conn: Any) -> Any:
        """Serve requests of a connection, in a thread of its own, as long as they follow one another soon."""
        outcome = self._handle_one(conn)
        # True: the connection is kept. What else gunicorn may return is for its main thread.
        while outcome is True and self.alive and self._comes_soon(conn):
            outcome = self._handle_one(conn)
        return outcome

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Run the application; the head is here, and the body has limits of its own."""
        _deadlines.end(conn.head_deadline)
        return super().handle_request(req, conn)

    def _handle_one(self, conn: Any) -> Any:
        with self._at_work:
            conn.head_deadline = _deadlines.begin(HEAD_TIMEOUT_S, partial(_stop_reading, conn.sock))
            try:
                return super().handle(conn)
            finally:
                _deadlines.end(conn.head_deadline)

    def _comes_soon(self, conn: Any) -> bool:
        if conn.parser.unreader.buf.getvalue():
            return True
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            ready = select.poll()
            ready.register(conn.sock, select.POLLIN)
            return bool(ready.poll(1000 * NEXT_REQUEST_S))
        finally:
            self._waiting.release()


def _stop_reading(sock: socket.socket) -> None:
    # A read that waits cannot be interrupted, but it ends when there is nothing more to come.
    with suppress(OSError):  # the client has gone: nothing left to cut
        sock.shutdown(socket.SHUT_RD)
