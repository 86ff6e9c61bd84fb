"""The command `localcloud check`: reads files, prints their reports, gives the exit status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from localcloud.check.report import Checked, Refused, check_source, report
from localcloud.core.config_fields import ConfigError


def check_files(files: Sequence[Path], assumptions: Sequence[str], write: Callable[[str], None]) -> int:
    """Check files and write a report about each; return 0 when all can be deployed and need not fail, else 1.

    Args:
        files: workflow sources.
        assumptions: texts `NAME=BYTES` or `ROUTINE.NAME=BYTES`.
        write: takes a line.

    Raises:
        ConfigError: an assumption is none.
    """
    assumed = assumed_sizes(assumptions)
    status = 0
    for file in files:
        try:
            checked: Refused | Checked = check_source(file.read_text(encoding="utf-8"), assumed)
        except UnicodeDecodeError as error:
            checked = Refused(f"the source is not UTF-8: {error}")
        except OSError as error:
            checked = Refused(f"cannot be read: {error.strerror}")
        for line in report(str(file), checked):
            write(line)
        if isinstance(checked, Refused) or checked.problems:
            status = 1
    return status


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
