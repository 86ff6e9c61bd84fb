"""How programs are started: without a fork beside the threads of their starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.stack.process import Command, SystemUser, base_environment

BESIDE_GRPC = """
import subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import grpc
from localcloud.stack.process import Command, base_environment

server = grpc.server(ThreadPoolExecutor(4))
echo = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Say": echo})])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
say = channel.unary_unary("/test.Echo/Say")
ended = threading.Event()

def talk():
    while not ended.is_set():
        assert say(b"x", timeout=30) == b"x"

talkers = [threading.Thread(target=talk) for _ in range(3)]
for talker in talkers:
    talker.start()
command = Command(("true",), Path("/"), base_environment())
codes = {subprocess.run(command.start_argv(), **command.popen_options()).returncode for _ in range(40)}
ended.set()
for talker in talkers:
    talker.join()
channel.close()
server.stop(None).wait()
sys.exit(codes != {0})
"""


def test_programs_are_started_beside_busy_threads_of_grpc() -> None:
    """GRPC says when it hears of a fork that it cannot prepare for; it hears of none."""
    done = subprocess.run([sys.executable, "-c", BESIDE_GRPC], check=False, capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stderr) == (0, "")


def output_of(command: Command) -> str:
    """Return what a program printed."""
    done = subprocess.run(
        command.start_argv(), check=True, stdout=subprocess.PIPE, text=True, timeout=30, **command.popen_options()
    )
    return done.stdout.strip()


def test_a_program_leads_a_session_of_its_own() -> None:
    """And it is the very process that was started: the launcher has become it."""
    command = Command(("sh", "-c", "echo $$; ps -o sid= -p $$"), Path("/"), base_environment())

    pid, session = output_of(command).split()

    assert pid == session


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start programs as somebody else")
def test_a_program_runs_as_the_user_that_it_is_to_have() -> None:
    """Groups included, and it is still told of its starter's end: a change of user takes that back."""
    shown = "import ctypes, os; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); "
    shown += "print(os.getuid(), os.getgid(), os.getgroups(), n.value)"
    python = "/usr/bin/python3"  # this one may be in a folder that is closed to others
    command = Command(
        (python, "-c", shown), Path("/"), base_environment(), SystemUser("x", 65533, 65532), signal.SIGINT
    )

    assert output_of(command) == f"65533 65532 [] {int(signal.SIGINT)}"


def test_a_program_that_is_missing_is_told_before_anything_is_started() -> None:
    """As `subprocess` itself tells it."""
    command = Command(("no-such-program",), Path("/"), base_environment())

    with pytest.raises(FileNotFoundError, match="no-such-program"):
        command.start_argv()


def test_a_program_that_cannot_be_executed_ends_with_a_word(tmp_path: Path) -> None:
    """The launcher says what the kernel said."""
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nothing of the kind")
    broken.chmod(0o755)
    command = Command((str(broken),), Path("/"), base_environment())

    done = subprocess.run(
        command.start_argv(), check=False, stderr=subprocess.PIPE, text=True, timeout=30, **command.popen_options()
    )

    assert (done.returncode, done.stderr) == (126, f"{broken}: Exec format error\n")
