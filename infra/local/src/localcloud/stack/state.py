"""The folder a stack writes: who owns it, which processes run, what a shell must export."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shlex
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from localcloud.core.config_fields import ConfigError

STACK = "stack"
"""Name of the running stack itself in `pids.json`."""
_POLL_S = 0.05


class StateFolder:
    """One state folder: `lock`, `pids.json`, `env`, `secrets.json`, `platform.json` and a folder for every data store.

    The lock is the kernel's (`flock`): it is free again as soon as its owner is dead, however it died.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock: int | None = None

    def take(self) -> None:
        """Lock the folder for this process.

        Raises:
            ConfigError: another stack is.
        """
        lock = self._try_lock()
        if lock is None:
            raise ConfigError(f"another stack runs with the state folder {self.path}")
        self._lock = lock

    def release(self) -> None:
        """Unlock the folder; one that is not locked is fine."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_pids(self, pids: Mapping[str, int]) -> None:
        """Write `pids.json`: program name to process id, the stack itself under "stack"."""
        self._replace("pids.json", json.dumps({STACK: os.getpid()} | dict(pids), indent=2) + "\n")

    def write_exports(self, exports: Mapping[str, str]) -> None:
        """Write `env`, to be read by a shell: `. STATE/env`."""
        self._replace("env", "".join(f"export {name}={shlex.quote(value)}\n" for name, value in exports.items()))

    def write_platform(self, text: str) -> Path:
        """Write `platform.json` and return its path."""
        self._replace("platform.json", text)
        return self.path / "platform.json"

    def secrets(self, names: Iterable[str]) -> dict[str, str]:
        """Return a secret for every name: base64 of 32 random bytes, made once and kept in `secrets.json`."""
        path = self.path / "secrets.json"
        kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        missing = [name for name in names if name not in kept]
        if missing:
            kept |= {name: base64.b64encode(os.urandom(32)).decode() for name in missing}
            self._replace("secrets.json", json.dumps(kept, indent=2) + "\n", mode=0o600)
        return {name: kept[name] for name in names}

    def end_owner(self, within_s: float) -> bool:
        """Ask the stack that owns the folder to end and wait until it has; return False when there is none.

        Raises:
            TimeoutError: it did not end in time.
        """
        deadline = time.monotonic() + within_s
        is_asked = False
        while (lock := self._try_lock()) is None:
            if not is_asked:
                os.kill(int(json.loads((self.path / "pids.json").read_text(encoding="utf-8"))[STACK]), signal.SIGTERM)
                is_asked = True
            if time.monotonic() > deadline:
                raise TimeoutError(f"the stack of {self.path} did not end within {within_s:.0f} s")
            time.sleep(_POLL_S)
        os.close(lock)
        return is_asked

    def _try_lock(self) -> int | None:
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock

    def _replace(self, name: str, text: str, *, mode: int = 0o644) -> None:
        fresh = self.path / f"{name}.new"
        fresh.touch(mode=mode)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path / name)
