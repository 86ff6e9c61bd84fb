"""The command `localcloud check`: reads files, prints their reports, gives the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from localcloud.check.machine_readable import as_github, as_json
from localcloud.check.report import Checked, Refused, check_source, report
from localcloud.check.sources import workflow_files
from localcloud.core.config_fields import ConfigError

FORMATS = ("text", "json", "github")


def check_files(
    paths: Sequence[Path],
    assumptions: Sequence[str],
    write: Callable[[str], None],
    form: str = "text",
    *,
    allows_unemulated: bool = False,
) -> int:
    """Check files and write a report about each; return 0 when all can be deployed and need not fail, else 1.

    Args:
        paths: workflow sources, and folders of them.
        assumptions: texts `NAME=BYTES` or `ROUTINE.NAME=BYTES`.
        write: takes a line.
        form: one of `FORMATS`.
        allows_unemulated: connectors that are not in Google's discovery documents are told, not refused.

    Raises:
        ConfigError: an assumption is none, or the folders hold no workflow.
    """
    assumed = assumed_sizes(assumptions)
    files = list(workflow_files(list(paths)))
    if not files:
        raise ConfigError(f"no workflow in {', '.join(map(str, paths))}: no file has a 'main' with steps, or is steps")
    reports = [(str(file), _checked(file, assumed, allows_unemulated)) for file in files]
    match form:
        case "json":
            write(json.dumps([as_json(name, checked) for name, checked in reports], indent=2))
        case "github":
            for name, checked in reports:
                for line in as_github(name, checked):
                    write(line)
        case _:
            for name, checked in reports:
                for line in report(name, checked):
                    write(line)
    return int(any(isinstance(checked, Refused) or bool(checked.problems) for _, checked in reports))


def _checked(file: Path, assumed: Mapping[str, int], allows_unemulated: bool) -> Refused | Checked:
    try:
        return check_source(file.read_text(encoding="utf-8"), assumed, allows_unemulated=allows_unemulated)
    except UnicodeDecodeError as error:
        return Refused(f"the source is not UTF-8: {error}")
    except OSError as error:
        return Refused(f"cannot be read: {error.strerror}")


def assumed_sizes(assumptions: Sequence[str]) -> Mapping[str, int]:
    """Return name to bytes.

    Raises:
        ConfigError: a text is not of the form `NAME=BYTES`.
    """
    sizes = {}
    for text in assumptions:
        name, _, size = text.partition("=")
        if not name or not (size.isascii() and size.isdigit()):
            raise ConfigError(f"--assume takes NAME=BYTES, not {text!r}")
        sizes[name] = int(size)
    return sizes
