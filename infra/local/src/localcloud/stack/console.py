"""Writes the output of all programs: one prefixed line each on the terminal, one log file each on disk."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import IO, TextIO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_TAIL_LINES = 30


class Console:
    """Writes lines of named programs.

    Args:
        log_dir: gets `NAME.log` for every program, begun anew.
        echo: also write to `stream`.
        stream: where to echo; names are coloured when it is a terminal.
    """

    def __init__(self, log_dir: Path, *, echo: bool, stream: TextIO | None = None) -> None:
        self._log_dir = log_dir
        self._echo = echo
        self._stream = sys.stdout if stream is None else stream
        self._files: dict[str, IO[str]] = {}
        self._tails: dict[str, deque[str]] = {}
        self._coloured = self._stream.isatty()
        self._width = 10
        log_dir.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, line: str) -> None:
        """Write one line of a program."""
        if name not in self._files:
            self._files[name] = (self._log_dir / f"{name}.log").open("w", encoding="utf-8", buffering=1)
            self._tails[name] = deque(maxlen=_TAIL_LINES)
        self._files[name].write(f"{line}\n")
        self._tails[name].append(line)
        if self._echo:
            self._width = max(self._width, len(name))
            prefix = f"{name:<{self._width}} |"
            if self._coloured:
                colour = _COLOURS[list(self._files).index(name) % len(_COLOURS)]
                prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
            print(prefix, line, file=self._stream, flush=True)

    def tail(self, name: str) -> str:
        """Return the last lines of a program."""
        return "\n".join(self._tails.get(name, ()))

    def close(self) -> None:
        """Close the log files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
