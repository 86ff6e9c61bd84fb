"""What an execution wrote with `sys.log`."""

from __future__ import annotations

from localcloud.workflows.model import Execution
from localcloud.workflows.pages.layout import duration_text, section, table
from localcloud.workflows.pages.markup import Markup, h


def log_section(execution: Execution) -> Markup | None:
    """Return the section, or None when nothing was written; times count from the start of the execution."""
    lines = execution.history.logs
    if not lines:
        return None
    begin_s = execution.start_time if execution.start_time is not None else execution.create_time
    rows = [
        (
            h("span", f"+{duration_text(max(0.0, line.time - begin_s))}", class_="duration"),
            h("span", line.severity, class_=f"severity {line.severity.lower()}"),
            h("code", line.text),
        )
        for line in lines
    ]
    dropped = execution.history.dropped_logs
    return section(
        "Log",
        table(("When", "Severity", "Text"), rows, caption="Log entries in order", class_="log"),
        h("p", f"{dropped} earlier lines are not kept here.", class_="soft") if dropped else None,
    )
