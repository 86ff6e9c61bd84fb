"""gunicorn's threads, of which the head of a request can hold none for long.

gunicorn reads request line and headers without a time limit once their first byte is there: eight connections of one
byte each would hold eight threads for ever. Named in each Dockerfile:
`--worker-class chassis.http.gunicorn_worker.TimedHeads`.
"""

from __future__ import annotations

import socket
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


_deadlines = Deadlines(SystemClock(), name="head-deadlines")


class TimedHeads(ThreadWorker):  # type: ignore[misc]
    """A worker with threads that closes a connection whose next request is not begun in time."""

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection, in a thread of its own."""
        conn.head_deadline = _deadlines.begin(HEAD_TIMEOUT_S, partial(_stop_reading, conn.sock))
        try:
            return super().handle(conn)
        finally:
            _deadlines.end(conn.head_deadline)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Run the application; the head is here, and the body has limits of its own."""
        _deadlines.end(conn.head_deadline)
        return super().handle_request(req, conn)


def _stop_reading(sock: socket.socket) -> None:
    # A read that waits cannot be interrupted, but it ends when there is nothing more to come.
    with suppress(OSError):  # the client has gone: nothing left to cut
        sock.shutdown(socket.SHUT_RD)
