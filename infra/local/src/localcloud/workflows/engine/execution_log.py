"""What an execution writes to the log: entries in the form in which production hands them to Cloud Logging.

One entry is one line of JSON, a `LogEntry` with log name, resource and labels, whatever else the process prints:
https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry. Log ids, resource, labels and severities:
https://cloud.google.com/logging/docs/api/platform-logs#workflows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from localcloud.core.clock import Clock
from localcloud.core.times import timestamp_to_json
from localcloud.workflows.jsontext import JsonEncodeError, encode_json_leniently
from localcloud.workflows.values import Value

ENTRIES = "localcloud.workflows.entries"
"""Name of the logger that gets the entries, ready as JSON text and all at one level: severity is the entry's own."""

SYS_LOG_ID = "Workflows"
"""Log of `sys.log`."""

_LOG = logging.getLogger(ENTRIES)


@dataclass(frozen=True, slots=True)
class ExecutionLog:
    """The `LogSink` of one execution.

    Attributes:
        execution_name: full resource name.
        revision_id: of the workflow, a label of every entry.
        clock: gives the time of an entry.
        keep: is told what `sys.log` writes, severity and text, for the page of the execution.
    """

    execution_name: str
    revision_id: str
    clock: Clock
    keep: Callable[[str, str], None] | None = None

    def write(self, severity: str, payload: Value) -> None:
        """Write what `sys.log` was given; a map is `jsonPayload`, the rest `textPayload`."""
        if self.keep is not None:
            self.keep(severity, payload if isinstance(payload, str) else _text(payload))
        self.enter(SYS_LOG_ID, severity, payload)

    def enter(self, log_id: str, severity: str, payload: Value) -> None:
        """Write one entry to the log `log_id`, whose slash the log name has encoded."""
        _, project, _, location, _, workflow_id, _, execution_id = self.execution_name.split("/")
        kind = "jsonPayload" if isinstance(payload, dict) else "textPayload"
        entry: dict[str, Any] = {
            "logName": f"projects/{project}/logs/{quote(log_id, safe='')}",
            "timestamp": timestamp_to_json(self.clock.now()),
            "severity": severity,
            "resource": {
                "type": "workflows.googleapis.com/Workflow",
                "labels": {"resource_container": project, "location": location, "workflow_id": workflow_id},
            },
            "labels": {
                "workflows.googleapis.com/execution_id": execution_id,
                "workflows.googleapis.com/revision_id": self.revision_id,
            },
            kind: payload,
        }
        try:
            text = encode_json_leniently(entry)
        except JsonEncodeError as error:
            # A log entry must not fail the execution whose value it shows.
            text = encode_json_leniently({**entry, kind: f"(a value that cannot be written: {error})"})
        _LOG.info("%s", text)


def _text(payload: Value) -> str:
    try:
        return encode_json_leniently(payload)
    except JsonEncodeError as error:
        return f"(a value that cannot be written: {error})"
