"""The stack for synchronous callers such as tests: the runner on an event loop in one thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from localcloud.stack.config import StackConfig
from localcloud.stack.runner import StackRunner

_T = TypeVar("_T")


class Stack:
    """A stack that runs beside the caller; use as a context manager or call `start` and `stop`.

    Args:
        config: what to run, from `load_stack_config`.
        state_dir: where everything is written.
        ports: port name to number, e.g. from `free_ports(config)`.
        environment: what `${env.X}` and the port variables look into; this process's by default.
        echo: write the output of all programs to the terminal.
        manual_clock: see `StackRunner`.

    Raises:
        ConfigError: a placeholder or a port is wrong.
    """

    def __init__(
        self,
        config: StackConfig,
        state_dir: Path,
        ports: Mapping[str, int],
        *,
        environment: Mapping[str, str] | None = None,
        echo: bool = False,
        manual_clock: bool = False,
    ) -> None:
        self._runner = StackRunner(
            config, state_dir=state_dir, ports=ports, environment=environment, echo=echo, manual_clock=manual_clock
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        # The children get their end signal when the thread that started them ends, so one thread does it all.
        self._thread: threading.Thread | None = None

    @property
    def ports(self) -> Mapping[str, int]:
        """Return the port of every name."""
        return self._runner.ports

    @property
    def exports(self) -> Mapping[str, str]:
        """Return the variables that `STATE/env` exports."""
        return self._runner.exports

    @property
    def state_dir(self) -> Path:
        """Return where everything is written; `logs/NAME.log` holds the output of a program."""
        return self._runner.state_dir

    def url(self, port: str) -> str:
        """Return `http://127.0.0.1:PORT` of a port name."""
        return self._runner.url(port)

    def metadata_address(self, account: str) -> str:
        """Return `127.0.0.1:PORT` of the metadata server that speaks for an account."""
        return self._runner.metadata_address(account)

    def database_url(self, name: str) -> str:
        """Return the URL of a database."""
        return self._runner.postgres.url(name)

    def start(self) -> None:
        """Start everything and return when all of it is healthy.

        Raises:
            ConfigError, ChildError, PostgresError, StorageError: see `StackRunner.start`; nothing is left running.
        """
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="stack", daemon=True)
        thread.start()
        self._loop, self._thread = loop, thread
        try:
            self._run(self._runner.start())
        except BaseException:
            self._end_loop()
            raise

    def stop(self) -> None:
        """Stop everything in reverse order; a stopped stack is fine."""
        if self._loop is None:
            return
        try:
            self._run(self._runner.stop())
        finally:
            self._end_loop()

    def kill(self, name: str) -> None:
        """`kill -9` one program; the stack restarts it."""
        self._run(self._later(self._runner.kill, name))

    def restart(self, name: str) -> None:
        """Stop one program in good order, start it again and return when it is healthy."""
        self._run(self._runner.restart(name))

    def stop_one(self, name: str) -> None:
        """Stop one program and leave it down."""
        self._run(self._runner.stop_one(name))

    def start_one(self, name: str) -> None:
        """Start one program that was stopped with `stop_one`."""
        self._run(self._runner.start_one(name))

    def wait_healthy(self, name: str, within_s: float = 60.0) -> None:
        """Return when one program is (again) healthy; raise TimeoutError if it takes too long."""
        self._run(self._runner.wait_healthy(name, within_s))

    def pids(self) -> dict[str, int]:
        """Return the process ids of the programs that run."""
        return self._runner.pids()

    def remove_data(self) -> None:
        """Delete the database cluster, which may live outside the state folder (see `Postgres.data_dir`)."""
        self._runner.postgres.remove()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the stack is not started")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _later(self, act: Any, *args: Any) -> None:
        act(*args)

    def _end_loop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
