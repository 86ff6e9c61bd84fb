"""The page of one execution: where it is, what it was given and gave, what failed where, and every step it took."""

from __future__ import annotations

from collections.abc import Sequence

from localcloud.workflows.model import Execution
from localcloud.workflows.pages.callback_forms import callbacks_section
from localcloud.workflows.pages.error_section import error_section, failed_steps, failure_marks
from localcloud.workflows.pages.layout import (
    badge,
    button_form,
    duration_text,
    facts,
    json_block,
    page,
    page_url,
    section,
    time_text,
)
from localcloud.workflows.pages.log_table import log_section
from localcloud.workflows.pages.markup import Child, Markup, h
from localcloud.workflows.pages.source_view import Mark, line_link, source_view
from localcloud.workflows.pages.steps_table import StepsView, steps_table


def execution_page(
    execution: Execution, *, now_s: float, view: StepsView | None = None, callbacks: Sequence[tuple[str, str, int]] = ()
) -> str:
    """Return the page.

    Args:
        execution: what it is about.
        now_s: the time, for what still runs.
        view: what is seen of the steps; all of them unless given.
        callbacks: method, URL and number of waiting threads of its open callback endpoints.
    """
    is_live = execution.is_live
    workflow_id = execution.workflow_name.rpartition("/")[2]
    cancel = button_form(page_url(execution.name, "cancel"), "Cancel", class_="danger") if is_live else None
    again = button_form(page_url(execution.name, "runAgain"), "Run again")
    outcome: list[Child] = [section("Argument", json_block(execution.argument, "Argument"))]
    if execution.result is not None:
        outcome.append(section("Result", json_block(execution.result, "Result")))
    return page(
        f"Execution {execution.execution_id}",
        [(workflow_id, page_url(execution.workflow_name))],
        h("div", h("div", again, cancel, class_="actions"), data_part="actions"),
        section("State", _state(execution, now_s), part="state"),
        h(
            "div",
            error_section(execution.revision.source, execution.error) if execution.error is not None else None,
            data_part="error",
        ),
        h("div", callbacks_section(execution, callbacks) if callbacks else None, data_part="callbacks"),
        h("div", outcome, class_="pair", data_part="outcome"),
        section("Steps", steps_table(execution, now_s=now_s, view=view or StepsView()), part="steps"),
        h("div", log_section(execution), data_part="log"),
        section(
            f"Source of revision {execution.revision.revision_id}",
            source_view(execution.revision.source, _marks(execution)),
            part="source",
        ),
        is_live=is_live,
    )


def _state(execution: Execution, now_s: float) -> Markup:
    end_s = execution.end_time if execution.end_time is not None else now_s
    took = duration_text(max(0.0, end_s - execution.start_time)) if execution.start_time is not None else None
    return h(
        "div",
        facts(
            [
                ("State", badge(execution.state)),
                ("Now at" if execution.is_live else "Last step", _positions(execution)),
                ("Workflow", h("a", execution.workflow_name, href=page_url(execution.workflow_name))),
                ("Created", time_text(execution.create_time)),
                ("Started", time_text(execution.start_time)),
                ("Ended", time_text(execution.end_time)),
                ("Took", took),
                ("Labels", ", ".join(f"{k}={v}" for k, v in sorted(execution.labels.items())) or None),
            ]
        ),
        data_live=execution.is_live,
    )


def _positions(execution: Execution) -> Child:
    """Return the steps where the execution is, one line per thread, or was; of a failed one the step that failed."""
    if execution.error is not None and (failed := failed_steps(execution.error)):
        found = list(dict.fromkeys(failed))
    else:
        found = [(entry.routine, entry.step, entry.line) for entry in execution.history.current_entries()]
    if not found:
        return None
    positions = [
        [h("code", f"{routine} · {step}"), " ", line_link(line) if line else None] for routine, step, line in found
    ]
    return positions[0] if len(positions) == 1 else h("ul", [h("li", position) for position in positions])


def _marks(execution: Execution) -> Sequence[Mark]:
    if execution.error is not None:
        return failure_marks(execution.error)
    if not execution.is_live:
        return ()
    counts: dict[tuple[int, str], int] = {}
    for entry in execution.history.current_entries():
        position = (entry.line, f"{entry.routine} · {entry.step}")
        counts[position] = counts.get(position, 0) + 1
    return [
        Mark(line, "running", f"now: {text}" + (f" ({count} threads)" if count > 1 else ""))
        for (line, text), count in counts.items()
    ]
