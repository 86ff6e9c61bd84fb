"""Memory, open files, threads and connections of the services over time: they may breathe, but not grow."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass

import psutil
import psycopg2

from bench.soak.invariants import rows_of
from localcloud.stack.blocking import Stack

WATCHED = ("ingest", "ingest-internal", "compressor", "reporter", "reporter-internal", "localcloud")
_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One program at one moment, its children included; `connections` are those to PostgreSQL under its name."""

    rss_mb: float
    files: int
    threads: int
    connections: int


class Vitals:
    """Takes readings in a thread until it is stopped."""

    def __init__(self, stack: Stack) -> None:
        self.readings: dict[str, list[tuple[float, Reading]]] = defaultdict(list)
        self._stack = stack
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            connections = self._connections()
            for name, pid in self._stack.pids().items():
                if name not in WATCHED or connections is None:
                    continue
                reading = _reading(pid, connections.get(name, 0))
                if reading is not None:
                    self.readings[name].append((time.monotonic() - self._began, reading))

    def _connections(self) -> dict[str, int] | None:
        try:
            rows = rows_of(
                self._stack.database_url("pressroom_ingest"),
                "SELECT application_name, count(*) FROM pg_stat_activity GROUP BY 1",
            )
        except psycopg2.Error:
            # The database is one of the things that are stopped.
            return None
        return {str(name): int(str(count)) for name, count in rows}


def _reading(pid: int, connections: int) -> Reading | None:
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return Reading(
            sum(member.memory_info().rss for member in family) / 1e6,
            sum(member.num_fds() for member in family),
            sum(member.num_threads() for member in family),
            connections,
        )
    except psutil.Error:
        # Killed between the look at its number and the look at it.
        return None
