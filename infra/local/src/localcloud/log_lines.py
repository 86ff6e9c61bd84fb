"""How `localcloud serve` prints its log: entries of executions as bare JSON, all else with level and logger."""

from __future__ import annotations

import logging

from localcloud.workflows.engine.execution_log import ENTRIES


class LineFormatter(logging.Formatter):
    """One line each, so that `grep '^{'` finds what Cloud Logging would have and a JSON reader can read it."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an exception's traceback follows on lines of its own."""
        return record.getMessage() if record.name == ENTRIES else super().format(record)
