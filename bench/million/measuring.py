"""What a phase took: wall and processor seconds, of this program and of PostgreSQL, and memory at its highest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine

from support.statement_costs import statement_costs


def postmaster_pid(port: int) -> int:
    """Return the process of the PostgreSQL server that this program has started on a port."""
    started = psutil.Process().children(recursive=True)
    return next(int(process.pid) for process in started if f"-p {port}" in " ".join(process.cmdline()))


def postgres_cpu_s(postmaster: int) -> float:
    """Return the processor seconds of a server since it began, with its sessions, also those that have ended."""
    server = psutil.Process(postmaster)
    times = server.cpu_times()
    spent = times.user + times.system + times.children_user + times.children_system
    for session in server.children():
        try:
            own = session.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += own.user + own.system
    return float(spent)


class Spent:
    """Processor milliseconds of one kind of work, summed over many pieces: of this program, and of PostgreSQL."""

    def __init__(self, postmaster: int) -> None:
        self._postmaster = postmaster
        self.count = 0
        self._own_s = self._postgres_s = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Add what happens meanwhile."""
        # Reading what PostgreSQL has spent takes this program some time, which is not counted.
        postgres = postgres_cpu_s(self._postmaster)
        own = time.process_time()
        yield
        self._own_s += time.process_time() - own
        self._postgres_s += postgres_cpu_s(self._postmaster) - postgres

    def each_ms(self) -> dict[str, float]:
        """Return milliseconds for each of `count`."""
        own, postgres = (round(1000 * spent / max(1, self.count), 3) for spent in (self._own_s, self._postgres_s))
        return {"count": self.count, "own_ms": own, "postgres_ms": postgres}


def apart(postmaster: int, work: Callable[..., Any], *arguments: Any) -> tuple[Any, dict[str, float]]:
    """Run a phase in a process of its own; return its result, and what it took.

    That is seconds, processor seconds of its own and of PostgreSQL, and its memory in MB: at its highest, and when its
    modules were loaded and nothing was done yet.
    """
    spawning = get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=_measured, args=(there, postmaster, work, arguments))
    process.start()
    there.close()
    try:
        result, cost = here.recv()
    finally:
        process.join()
    return result, cost


def _measured(pipe: Pipe, postmaster: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    began_mb = _memory_mb("VmRSS")
    began, processor, postgres = time.perf_counter(), time.process_time(), postgres_cpu_s(postmaster)
    result = work(*arguments)
    cost = {
        "s": time.perf_counter() - began,
        "cpu_s": time.process_time() - processor,
        "postgres_cpu_s": postgres_cpu_s(postmaster) - postgres,
        "began_mb": began_mb,
        "peak_mb": _memory_mb("VmHWM"),
    }
    pipe.send((result, {name: round(value, 2) for name, value in cost.items()}))


def _memory_mb(field: str) -> float:
    # getrusage would tell of the program before exec too.
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def blocks_of(engine: Engine, work: Callable[[], Any]) -> tuple[Any, int]:
    """Return what `work` does, and how many blocks its statements read or wrote in shared buffers."""
    with statement_costs(engine) as costs:
        result = work()
    return result, sum(cost.buffers for cost in costs)
