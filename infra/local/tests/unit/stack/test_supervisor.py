"""Children are started, watched, restarted and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcloud.stack.console import Console
from localcloud.stack.process import Command, base_environment
from localcloud.stack.supervisor import ChildError, ChildSetting, Supervisor


def _child(tmp_path: Path, program: str, *, name: str = "child", **options: Any) -> Any:
    """Return a setting for a Python program that is ready when it has written the file `ready`."""
    ready = tmp_path / f"{name}.ready"
    command = Command((sys.executable, "-c", program, str(ready)), tmp_path, base_environment())

    async def is_ready() -> Any:
        return ready.exists()

    return ChildSetting(name, lambda: command, is_ready, **options)


SERVE = "import sys, pathlib, time; pathlib.Path(sys.argv[1]).write_text(''); print('serving'); time.sleep(60)"


def _run(tmp_path: Path, scenario: Any) -> Any:
    """Run `scenario(supervisor, console)` and stop every child it started."""

    async def whole() -> Any:
        console = Console(tmp_path / "logs", echo=False)
        supervisor = Supervisor(console)
        try:
            return await scenario(supervisor, console)
        finally:
            for name in list(supervisor.pids()):
                await supervisor.stop(name)
            console.close()

    return asyncio.run(whole())


def test_killed_child_is_restarted_under_a_new_pid(tmp_path: Path) -> None:
    """`kill -9` of a child is noticed, said, and repaired."""

    async def scenario(supervisor: Any, console: Any) -> Any:
        await supervisor.start(_child(tmp_path, SERVE))
        before = supervisor.pids()["child"]
        supervisor.kill("child")
        await supervisor.wait_ready("child", 10)
        return before, supervisor.pids()["child"], console.tail("stack")

    before, after, said = _run(tmp_path, scenario)

    assert before != after
    assert said.splitlines() == ["child was ended by SIGKILL; restarting in 0.1 s", "child is back"]


def test_child_that_runs_is_not_started_again(tmp_path: Path) -> None:
    """A second start would lose sight of the first process."""

    async def scenario(supervisor: Any, console: Any) -> None:
        await supervisor.start(_child(tmp_path, SERVE))
        await supervisor.start(_child(tmp_path, SERVE))

    with pytest.raises(ChildError, match="child runs already"):
        _run(tmp_path, scenario)


def test_stopped_child_stays_down(tmp_path: Path) -> None:
    """A stop is not a death."""

    async def scenario(supervisor: Any, console: Any) -> Any:
        await supervisor.start(_child(tmp_path, SERVE))
        await supervisor.stop("child")
        return supervisor.pids(), console.tail("child")

    assert _run(tmp_path, scenario) == ({}, "serving")


def test_child_that_fails_at_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """No restarts before the first success: a wrong configuration must be seen."""

    async def scenario(supervisor: Any, console: Any) -> None:
        await supervisor.start(_child(tmp_path, "import sys; print('no such setting'); sys.exit(3)"))

    with pytest.raises(ChildError, match="child ended with 3 before it was ready:\nno such setting"):
        _run(tmp_path, scenario)


def test_child_that_may_fail_at_first_is_tried_again(tmp_path: Path) -> None:
    """A database right after a crash needs a second start."""
    program = (
        "import sys, pathlib, time; path = pathlib.Path(sys.argv[1]); first = path.with_suffix('.first')\n"
        "if not first.exists(): first.write_text(''); sys.exit(1)\n"
        "path.write_text(''); time.sleep(60)"
    )

    async def scenario(supervisor: Any, console: Any) -> Any:
        await supervisor.start(_child(tmp_path, program, restart_while_starting=True))
        return list(supervisor.pids())

    assert _run(tmp_path, scenario) == ["child"]


def test_child_that_is_never_ready_is_stopped_and_reported(tmp_path: Path) -> None:
    """The start fails when the time is over, and nothing is left running."""

    async def scenario(supervisor: Any, console: Any) -> Any:
        with pytest.raises(ChildError, match="was not ready within 0 s"):
            await supervisor.start(_child(tmp_path, "import time; time.sleep(60)", ready_within_s=0.3))
        return supervisor.pids()

    assert _run(tmp_path, scenario) == {}


def test_child_that_ignores_the_end_signal_is_killed_after_its_grace(tmp_path: Path) -> None:
    """The grace period is bounded."""
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE

    async def scenario(supervisor: Any, console: Any) -> Any:
        await supervisor.start(_child(tmp_path, program, grace_s=0.2))
        await supervisor.stop("child")
        return console.tail("stack")

    assert _run(tmp_path, scenario) == "child did not end within 0 s: killed"


def test_orphans_of_a_killed_child_are_swept(tmp_path: Path, left_of: Any) -> None:
    """Workers that a dead master leaves behind do not keep its port."""
    program = (
        "import subprocess, sys; worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(worker.pid, flush=True)\n" + SERVE
    )

    async def scenario(supervisor: Any, console: Any) -> Any:
        await supervisor.start(_child(tmp_path, program))
        worker = psutil.Process(int(console.tail("child").split()[0]))
        supervisor.kill("child")
        await supervisor.wait_ready("child", 10)
        return worker

    assert left_of([_run(tmp_path, scenario)]) == []


def test_failed_command_before_the_start_is_reported(tmp_path: Path) -> None:
    """Migrations must succeed."""

    async def scenario(supervisor: Any, console: Any) -> None:
        command = Command(("python", "-c", "print('bad schema'); exit(4)"), tmp_path, base_environment())
        await supervisor.run_once("migrate", command)

    with pytest.raises(ChildError, match="ended with 4:\nbad schema"):
        _run(tmp_path, scenario)


def test_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A typing error in a command is an error of the start."""

    async def scenario(supervisor: Any, console: Any) -> None:
        await supervisor.run_once("x", Command(("no-such-program",), tmp_path, base_environment()))

    with pytest.raises(ChildError, match="x: no-such-program cannot be started"):
        _run(tmp_path, scenario)


def test_child_ends_when_its_starter_is_killed(left_of: Any) -> None:
    """`kill -9` of the starter leaves no orphan: the kernel sends the stop signal."""
    starter = (
        "import subprocess, sys, time, pathlib\n"
        "from localcloud.stack.process import Command, base_environment\n"
        "argv = (sys.executable, '-c', 'import time; time.sleep(60)')\n"
        "command = Command(argv, pathlib.Path('/'), base_environment())\n"
        "child = subprocess.Popen(command.start_argv(), **command.popen_options())\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGKILL)

    assert left_of([child]) == []


def test_environment_is_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stray variable of the developer's shell does not reach the programs; PATH begins with this Python."""
    monkeypatch.setenv("STRAY", "1")

    environment = base_environment()

    assert "STRAY" not in environment
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
