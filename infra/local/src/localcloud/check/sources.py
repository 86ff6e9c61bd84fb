"""Which files `localcloud check` looks at: those that are named, and the workflows among the files of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_SUFFIXES = (".yaml", ".yml", ".json")
_STEP_KEYS = frozenset({"assign", "call", "switch", "for", "parallel", "try", "steps", "next", "return", "raise"})
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_MAIN = re.compile(r"^main\s*:", re.MULTILINE)


def workflow_files(paths: list[Path]) -> Iterator[Path]:
    """Yield the files to check; of a folder those that look like workflows, in the order of their names.

    Hidden folders are not entered. A file that cannot be read as YAML counts when it has a line `main:`.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.rglob("*")):
            is_hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if file.suffix in _SUFFIXES and file.is_file() and not is_hidden and looks_like_workflow(file):
                yield file


def looks_like_workflow(file: Path) -> bool:
    """Tell whether a file has a routine `main` with steps, or is a list of steps."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    try:
        content = yaml.load(text, Loader=_LOADER)  # noqa: S506 - the base loader makes texts, lists and maps only
    except yaml.YAMLError:
        return _MAIN.search(text) is not None
    if isinstance(content, dict):
        main = content.get("main")
        return isinstance(main, dict) and "steps" in main
    return isinstance(content, list) and bool(content) and all(map(_is_step, content))


def _is_step(item: Any) -> bool:
    if not isinstance(item, dict) or len(item) != 1:
        return False
    [body] = item.values()
    return isinstance(body, dict) and not _STEP_KEYS.isdisjoint(body)
