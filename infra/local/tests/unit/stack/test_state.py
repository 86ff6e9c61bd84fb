"""The state folder and its owner."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.core.config_fields import ConfigError
from localcloud.stack.state import StateFolder

OWNER = """
import pathlib, signal, sys, threading
from localcloud.stack.state import StateFolder
state = StateFolder(pathlib.Path(sys.argv[1]))
state.take()
state.write_pids({})
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
print("ready", flush=True)
ended.wait()
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Any]:
    """Give a process that owns the state folder until it gets SIGTERM."""
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_owned_folder_cannot_be_taken(owner: Any, tmp_path: Path) -> None:
    """Two stacks cannot write to the same folder."""
    with pytest.raises(ConfigError, match="another stack runs"):
        StateFolder(tmp_path).take()


def test_down_ends_the_owner_in_good_order(owner: Any, tmp_path: Path) -> None:
    """`localcloud down` sends SIGTERM and waits until the folder is free; a second one finds nothing."""
    command = [sys.executable, "-m", "localcloud", "down", "--config", "unused", "--state", str(tmp_path)]

    said = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]

    assert said == ["stopped\n", "no stack runs\n"]
    assert owner.wait(timeout=5) == 0


def test_folder_of_a_killed_owner_is_free(owner: Any, tmp_path: Path) -> None:
    """The lock ends with its process, however that ends."""
    owner.kill()
    owner.wait()
    state = StateFolder(tmp_path)

    state.take()
    state.release()


def test_secrets_are_made_once_and_readable_only_by_their_owner(tmp_path: Path) -> None:
    """A restarted stack keeps its secrets, each has 32 random bytes, and no other user can read them."""
    first = StateFolder(tmp_path).secrets(["webhook", "download"])
    again = StateFolder(tmp_path).secrets(["webhook", "download"])

    assert first == again
    assert len({base64.b64decode(secret) for secret in first.values()}) == 2
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0
