"""Reads the exec-form CMD of a Dockerfile, so that a service runs locally exactly as its image would start it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from localcloud.core.config_fields import ConfigError

_CONTINUATION = re.compile(r"\\[ \t]*\n")
_COMMENT = re.compile(r"^\s*#.*\n?", re.MULTILINE)
_CMD = re.compile(r"^\s*CMD\s+(.*?)\s*$", re.MULTILINE | re.IGNORECASE)
_ENTRYPOINT = re.compile(r"^\s*ENTRYPOINT\s", re.MULTILINE | re.IGNORECASE)


def command_from_dockerfile(path: Path) -> tuple[str, ...]:
    """Return the arguments of the last CMD.

    Raises:
        ConfigError: no file, no CMD, a shell-form CMD (no exec form, no signals), or an ENTRYPOINT.

    Source: https://docs.docker.com/reference/dockerfile/#cmd
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    # Docker drops comment lines before it joins continued ones.
    text = _CONTINUATION.sub(" ", _COMMENT.sub("", text))
    if _ENTRYPOINT.search(text):
        raise ConfigError(f"{path}: ENTRYPOINT is not supported; give the whole command in CMD")
    commands = _CMD.findall(text)
    if not commands:
        raise ConfigError(f"{path}: no CMD found")
    try:
        argv = json.loads(commands[-1])
    except ValueError as error:
        raise ConfigError(f'{path}: CMD must be in exec form, CMD ["program", "argument"]: {commands[-1]}') from error
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        raise ConfigError(f"{path}: CMD must be a JSON list of text: {commands[-1]}")
    return tuple(argv)
