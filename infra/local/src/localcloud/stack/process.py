"""How the stack starts programs: each in a session and as a user of its own, ended with the program that started it."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A user to run a program as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """A program to start: arguments, whole environment, working folder, user, and the signal that asks it to end."""

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: SystemUser | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    def start_argv(self) -> list[str]:
        """Return what to execute, with `popen_options`: a launcher that becomes the program.

        The program gets, on Linux, its stop signal when the thread that starts it ends: even `kill -9` of the stack
        leaves no orphans. That thread must therefore live as long as the program.

        Raises:
            FileNotFoundError: there is no such program.
        """
        if shutil.which(self.argv[0], path=self.environment.get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.argv[0])
        user = "-" if self.user is None else f"{self.user.uid}:{self.user.gid}"
        # Isolated and without site-packages: it starts in a few milliseconds.
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER)]
        return [*launcher, str(os.getpid()), str(int(self.stop_signal)), user, *self.argv]

    def popen_options(self) -> dict[str, Any]:
        """Return keyword arguments for `subprocess.Popen` and `asyncio.create_subprocess_exec`.

        The program gets a session of its own: Ctrl-C in the terminal must not reach it.
        """
        return {"cwd": self.folder, "env": dict(self.environment), "start_new_session": True}


def unprivileged_user() -> SystemUser | None:
    """Return `nobody` for programs that refuse to run as root; None when this process is not root.

    Raises:
        KeyError: there is no user nobody.
    """
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return SystemUser("nobody", nobody.pw_uid, nobody.pw_gid)


def may_reach(path: Path, user: SystemUser) -> bool:
    """Tell whether `user` may enter every folder on the way to `path` (mode bits only, no ACLs)."""
    for folder in path.resolve().parents:
        if not folder.exists():
            continue  # it will be made, open to all
        status = folder.stat()
        allowed = 0o100 if status.st_uid == user.uid else 0o010 if status.st_gid == user.gid else 0o001
        if not status.st_mode & allowed:
            return False
    return True


def base_environment() -> dict[str, str]:
    """Return the few variables every program gets: PATH with this Python's folder first, HOME, language, temp folder.

    Nothing else is inherited, so that a stray variable of the developer's shell cannot change what a service does.
    """
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER") if name in os.environ}
    search_path = os.environ.get("PATH", os.defpath)
    # Not resolved: in a virtual environment the link's folder is the one with the tools.
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{search_path}", "PYTHONUNBUFFERED": "1"}


def kill_group(pid: int) -> None:
    """Kill what is left of the process group that `pid` led; a group that is gone is fine."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
