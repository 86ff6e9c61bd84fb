"""Keeps child processes alive: starts them, waits until they are ready, copies their output, restarts those that end.

As Cloud Run would, a program that dies by itself is started again, with growing pauses. One asyncio loop, whose
thread must live as long as the children (see `Command.start_argv`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from localcloud.stack.console import Console
from localcloud.stack.process import Command, kill_group

RESTART_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Pause before the first, second, ... restart in a row; the last one repeats."""
_STABLE_AFTER_S = 20.0
_POLL_S = 0.05
_LAST_OUTPUT_WITHIN_S = 1.0
_LINE_LIMIT_BYTES = 1024 * 1024


class ChildError(Exception):
    """A program did not start; the message holds the end of its output."""


@dataclass(frozen=True, slots=True)
class ChildSetting:
    """A program to keep alive; `command` is asked anew for every start.

    `restart_while_starting` is for programs that may fail at first and succeed a moment later (PostgreSQL after
    `kill -9`); all others fail the start when they exit before they are ready.
    """

    name: str
    command: Callable[[], Command]
    is_ready: Callable[[], Awaitable[bool]]
    ready_within_s: float = 60.0
    grace_s: float = 10.0
    restart_while_starting: bool = False


@dataclass(slots=True)
class _Child:
    setting: ChildSetting
    command: Command
    process: asyncio.subprocess.Process
    pump: asyncio.Task[None]
    started_at: float
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: bool = True
    restarts: int = 0
    keeper: asyncio.Task[None] | None = None


class Supervisor:
    """The children of one stack.

    Args:
        console: gets their output and what happens to them.
        on_change: called whenever a process was started or is gone.
    """

    def __init__(self, console: Console, on_change: Callable[[], None] = lambda: None) -> None:
        self._console = console
        self._on_change = on_change
        self._children: dict[str, _Child] = {}

    def pids(self) -> dict[str, int]:
        """Return the process ids of the programs that run."""
        return {name: child.process.pid for name, child in self._children.items() if child.process.returncode is None}

    async def run_once(self, name: str, command: Command) -> None:
        """Run a program to its end.

        Raises:
            ChildError: it failed.
        """
        process, pump = await self._spawn(name, command)
        try:
            code = await process.wait()
        finally:
            await self._last_output(process.pid, pump)
        if code != 0:
            raise ChildError(f"{' '.join(command.argv)} ended with {code}:\n{self._console.tail(name)}")

    async def start(self, setting: ChildSetting) -> None:
        """Start a program, return when it is ready and keep it alive from then on.

        Raises:
            ChildError: it exited, was not ready in time, or runs already.
        """
        if setting.name in self._children:
            raise ChildError(f"{setting.name} runs already")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + setting.ready_within_s
        command = setting.command()
        process, pump = await self._spawn(setting.name, command)
        child = _Child(setting, command, process, pump, loop.time())
        self._children[setting.name] = child
        self._on_change()
        while not await self._is_ready(child):
            if child.process.returncode is not None and setting.restart_while_starting:
                await self._last_output(child.process.pid, child.pump)
                child.process, child.pump = await self._spawn(setting.name, child.command)
                self._on_change()
            elif child.process.returncode is not None:
                await self._last_output(child.process.pid, child.pump)
                del self._children[setting.name]
                raise ChildError(
                    f"{setting.name} ended with {child.process.returncode} before it was ready:\n"
                    f"{self._console.tail(setting.name)}"
                )
            if loop.time() > deadline:
                await self.stop(setting.name)
                raise ChildError(
                    f"{setting.name} was not ready within {setting.ready_within_s:.0f} s:\n"
                    f"{self._console.tail(setting.name)}"
                )
            await asyncio.sleep(_POLL_S)
        child.ready.set()
        child.keeper = asyncio.create_task(self._keep_alive(child))

    async def stop(self, name: str) -> None:
        """Ask a program to end, kill it after its grace period, and do not restart it; a stopped one is fine."""
        child = self._children.pop(name, None)
        if child is None:
            return
        child.wanted = False
        child.ready.clear()
        if child.keeper is not None:
            child.keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await child.keeper
        if child.process.returncode is None:
            child.process.send_signal(child.command.stop_signal)
            try:
                await asyncio.wait_for(child.process.wait(), child.setting.grace_s)
            except TimeoutError:
                self._console.write("stack", f"{name} did not end within {child.setting.grace_s:.0f} s: killed")
                child.process.kill()
                await child.process.wait()
        await self._last_output(child.process.pid, child.pump)
        self._on_change()

    def kill(self, name: str) -> None:
        """Kill a program with SIGKILL, as a crash would; it is restarted.

        Raises:
            KeyError: no such program runs.
        """
        child = self._children[name]
        child.ready.clear()
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGKILL)

    async def wait_ready(self, name: str, within_s: float) -> None:
        """Return when a program (again) is ready.

        Raises:
            KeyError: no such program is kept alive.
            TimeoutError: it is not ready in time.
        """
        child = self._children[name]
        async with asyncio.timeout(within_s):
            await child.ready.wait()
            while not await self._is_ready(child):  # noqa: ASYNC110 - another process cannot set an event
                await asyncio.sleep(_POLL_S)

    async def _keep_alive(self, child: _Child) -> None:
        loop, name = asyncio.get_running_loop(), child.setting.name
        while True:
            code = await child.process.wait()
            child.ready.clear()
            await self._last_output(child.process.pid, child.pump)
            self._on_change()
            if loop.time() - child.started_at > _STABLE_AFTER_S:
                child.restarts = 0
            pause_s = RESTART_PAUSES_S[min(child.restarts, len(RESTART_PAUSES_S) - 1)]
            child.restarts += 1
            self._console.write("stack", f"{name} {_describe_exit(code)}; restarting in {pause_s} s")
            await asyncio.sleep(pause_s)
            try:
                child.command = child.setting.command()
                child.process, child.pump = await self._spawn(name, child.command)
            except ChildError as error:
                # The dead process is still the child's: the next turn waits longer and tries again.
                self._console.write("stack", str(error))
                continue
            child.started_at = loop.time()
            self._on_change()
            await self._announce_when_ready(child)

    async def _announce_when_ready(self, child: _Child) -> None:
        while child.process.returncode is None:
            if await self._is_ready(child):
                child.ready.set()
                self._console.write("stack", f"{child.setting.name} is back")
                return
            await asyncio.sleep(_POLL_S)

    async def _is_ready(self, child: _Child) -> bool:
        return child.process.returncode is None and await child.setting.is_ready()

    async def _spawn(self, name: str, command: Command) -> tuple[asyncio.subprocess.Process, asyncio.Task[None]]:
        # A pipe of our own: asyncio's `wait` on one of its pipes returns only when grandchildren have closed it too.
        read_end, write_end = os.pipe()
        pump = asyncio.create_task(self._pump(name, read_end))
        try:
            process = await asyncio.create_subprocess_exec(
                *command.start_argv(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                **command.popen_options(),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ChildError(f"{name}: {command.argv[0]} cannot be started: {error}") from error
        finally:
            os.close(write_end)
        return process, pump

    async def _pump(self, name: str, read_end: int) -> None:
        output = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(read_end, "rb", buffering=0)
        )
        pending = b""
        try:
            while chunk := await output.read(65536):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    self._console.write(name, line.decode(errors="replace").rstrip("\r"))
                if len(pending) > _LINE_LIMIT_BYTES:
                    self._console.write(name, pending.decode(errors="replace"))
                    pending = b""
        finally:
            transport.close()
        if pending:
            self._console.write(name, pending.decode(errors="replace"))

    async def _last_output(self, pid: int, pump: asyncio.Task[None]) -> None:
        """End the children of a program that has ended, and read what is left in its pipe."""
        kill_group(pid)
        done, _ = await asyncio.wait({pump}, timeout=_LAST_OUTPUT_WITHIN_S)
        if not done:
            # A grandchild in another session still holds the pipe.
            pump.cancel()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
