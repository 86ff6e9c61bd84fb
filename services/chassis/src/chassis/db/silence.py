"""Cuts the connections to a database that has fallen silent: packets are dropped, or bytes are swallowed on the way.

The driver waits for an answer without end, and no option of TCP helps where somebody on the way confirms what never
arrives; on Cloud Run the socket of the database is not even TCP. A statement that is merely slow looks the same on its
connection. So whoever waits for longer than `SILENCE_S` makes the database be asked the one question that it answers
before everything else, on a connection of its own. No answer in `PROBE_S` is silence: then every connection that waits
is shut down, which wakes its thread with an error, and for `PAUSE_S` nobody is made to wait anew.
Source of the question: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class
from sqlalchemy import URL, Engine, event

from chassis.clock import Clock, SystemClock
from chassis.logs import get_logger

log = get_logger(__name__)

SILENCE_S = 2.0
"""Seconds that a call of the driver may last before the database is asked whether it is there."""

PROBE_S = 1.5
"""Seconds that the database has for that; together with SILENCE_S less than the 5 s within which callers hear 503."""

PAUSE_S = 1.0
"""Seconds after a silence in which new connections are refused at once."""

CONNECT_S = 3
"""Seconds that a connection may take to be made: libpq's connect_timeout, which covers the greeting too."""

_LOOK_EVERY_S = 0.25
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class DatabaseSilentError(psycopg2.OperationalError):
    """The database does not answer; to try again at once would only wait again."""


class SilenceWatch:
    """Watches the calls of one engine's connections.

    Args:
        probe: returns whether the database answers within `PROBE_S`.
        clock: measures how long calls last.
    """

    def __init__(self, probe: Callable[[], bool], clock: Clock) -> None:
        self._probe = probe
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: dict[object, tuple[float, Connection]] = {}
        self._cut: set[object] = set()
        self._silent_at: float | None = None
        self._watcher: threading.Thread | None = None
        self._stopped = threading.Event()

    @property
    def silent(self) -> bool:
        """Return whether the database was silent a moment ago."""
        silent_at = self._silent_at
        return silent_at is not None and self._clock.monotonic() - silent_at < PAUSE_S

    def note_silence(self) -> None:
        """Remember that the database does not answer now."""
        self._silent_at = self._clock.monotonic()

    @contextmanager
    def call(self, connection: Connection) -> Iterator[None]:
        """Watch one call of the driver.

        Raises:
            DatabaseSilentError: the call was cut off.
        """
        key = object()
        with self._lock:
            self._calls[key] = (self._clock.monotonic(), connection)
            if self._watcher is None:
                self._stopped.clear()
                self._watcher = threading.Thread(target=self._watch, name="database-silence", daemon=True)
                self._watcher.start()
        try:
            yield
        except psycopg2.Error as error:
            if key in self._cut:
                message = "the database has fallen silent"
                raise DatabaseSilentError(message) from error
            raise
        finally:
            with self._lock:
                del self._calls[key]
                self._cut.discard(key)

    def stop(self) -> None:
        """End the watch until the next call."""
        with self._lock:
            self._stopped.set()
            self._watcher = None

    def _watch(self) -> None:
        stopped = self._stopped
        while not stopped.wait(_LOOK_EVERY_S):
            if self._waiting() and not self._probe():
                self.note_silence()
                log.warning("database.silent", cut=self._cut_off())

    def _waiting(self) -> list[object]:
        begun_before = self._clock.monotonic() - SILENCE_S
        with self._lock:
            return [key for key, (begun, _) in self._calls.items() if begun < begun_before]

    def _cut_off(self) -> int:
        waiting = self._waiting()
        with self._lock:
            # A call that is still here holds its connection open, so the descriptor is still its own.
            found = [key for key in waiting if key in self._calls]
            for key in found:
                self._cut.add(key)
                with suppress(OSError, psycopg2.Error):
                    twin = socket.socket(fileno=os.dup(self._calls[key][1].fileno()))
                    try:
                        twin.shutdown(socket.SHUT_RDWR)
                    finally:
                        twin.close()
        return len(found)


def is_answering(url: URL) -> bool:
    """Return whether the database answers the question for TLS within `PROBE_S`, be it yes or no.

    It does so before it looks for a free connection, so a full database answers as well.
    """
    answers: list[bool] = []
    # A thread of its own, because the lookup of a name cannot be bounded.
    asking = threading.Thread(target=lambda: answers.append(_ask(url)), name="database-probe", daemon=True)
    asking.start()
    asking.join(PROBE_S)
    return bool(answers and answers[0])


def _ask(url: URL) -> bool:
    given = url.query.get("host") or url.host or "127.0.0.1"
    host = given if isinstance(given, str) else given[0]
    port = url.port or 5432
    try:
        if host.startswith("/"):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(PROBE_S)
            sock.connect(f"{host}/.s.PGSQL.{port}")
        else:
            sock = socket.create_connection((host, port), timeout=PROBE_S)
    except OSError:
        return False
    with sock:
        try:
            sock.sendall(_SSL_REQUEST)
            return len(sock.recv(1)) == 1
        except OSError:
            return False


def watched_connections(watch: SilenceWatch) -> dict[str, Any]:
    """Return the arguments of `psycopg2.connect` that make a connection whose every call is watched."""

    class WatchedCursor(Cursor):
        def execute(self, *args: Any, **kwargs: Any) -> None:
            with watch.call(self.connection):
                super().execute(*args, **kwargs)

        def executemany(self, *args: Any, **kwargs: Any) -> None:
            with watch.call(self.connection):
                super().executemany(*args, **kwargs)

        def copy_expert(self, *args: Any, **kwargs: Any) -> None:
            with watch.call(self.connection):
                super().copy_expert(*args, **kwargs)

        # Only of a cursor with a name these ask the server.
        def fetchone(self) -> Any:
            if self.name is None:
                return super().fetchone()
            with watch.call(self.connection):
                return super().fetchone()

        def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
            if self.name is None:
                return super().fetchmany(*args, **kwargs)
            with watch.call(self.connection):
                return super().fetchmany(*args, **kwargs)

        def fetchall(self) -> Any:
            if self.name is None:
                return super().fetchall()
            with watch.call(self.connection):
                return super().fetchall()

        def close(self) -> None:
            if self.name is None:
                super().close()
                return
            with watch.call(self.connection):
                super().close()

    class WatchedConnection(Connection):
        def commit(self) -> None:
            with watch.call(self):
                super().commit()

        def rollback(self) -> None:
            with watch.call(self):
                super().rollback()

    return {"connection_factory": WatchedConnection, "cursor_factory": WatchedCursor}


def guard_connects(engine: Engine, watch: SilenceWatch) -> None:
    """Let nobody wait for a new connection while the database is silent, and find silence in slow connects."""

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, args: Any, kwargs: Any) -> Any:
        if watch.silent:
            message = "the database was silent a moment ago"
            raise DatabaseSilentError(message)
        clock = SystemClock()
        begun = clock.monotonic()
        try:
            return psycopg2.connect(*args, **kwargs)
        except psycopg2.OperationalError as error:
            if clock.monotonic() - begun < CONNECT_S - 1:
                raise
            watch.note_silence()
            message = "the database does not answer to a new connection"
            raise DatabaseSilentError(message) from error

    @event.listens_for(engine, "engine_disposed")
    def _disposed(_engine: Engine) -> None:
        watch.stop()
