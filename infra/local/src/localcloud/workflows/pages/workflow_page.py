"""The page of one workflow: run it, see its executions and its source."""

from __future__ import annotations

from collections.abc import Sequence

from localcloud.workflows.enums import HistoryLevel
from localcloud.workflows.model import Execution, Workflow
from localcloud.workflows.pages.layout import (
    badge,
    duration_text,
    facts,
    page,
    page_url,
    section,
    table,
    time_text,
)
from localcloud.workflows.pages.markup import Child, Markup, h
from localcloud.workflows.pages.source_view import source_view
from localcloud.workflows.store import Store

MAX_LISTED = 100
"""Executions on one page."""

_SHORT_TEXT = 80


def workflow_page(
    store: Store, workflow: Workflow, *, now_s: float, first: int = 0, refused: tuple[str, str] | None = None
) -> str:
    """Return the page.

    Args:
        store: the state.
        workflow: what it is about.
        now_s: the time, for executions that run.
        first: executions to leave out, newest first.
        refused: the argument of a run form that was not accepted, and why.
    """
    executions = store.executions(workflow.name)
    is_live = any(execution.is_live for execution in executions)
    _, project, _, location, _, workflow_id = workflow.name.split("/")
    revision = workflow.current
    return page(
        workflow_id,
        (),
        h(
            "div",
            section("Run", _run_form(workflow, executions, refused)),
            section(
                "Workflow",
                facts(
                    [
                        ("Name", h("code", workflow.name)),
                        ("Project / location", f"{project} / {location}"),
                        ("Revision", h("code", revision.revision_id)),
                        ("Deployed", time_text(revision.create_time)),
                        ("Runs as", revision.service_account),
                        ("Revisions", len(workflow.revisions)),
                        ("Description", workflow.description or None),
                        ("Environment", _environment(workflow)),
                    ]
                ),
            ),
            class_="pair",
        ),
        section("Executions", _executions(workflow, executions, now_s, first, is_live=is_live), part="executions"),
        section("Source", source_view(revision.source, ())),
        is_live=is_live,
    )


def _environment(workflow: Workflow) -> Markup | None:
    variables = workflow.current.user_env
    if not variables:
        return None
    return h("ul", [h("li", h("code", f"{name}={value}")) for name, value in sorted(variables.items())])


def _run_form(workflow: Workflow, executions: Sequence[Execution], refused: tuple[str, str] | None) -> Markup:
    latest = executions[0].argument if executions else "{}"
    argument, problem = refused or (latest, "")
    return h(
        "form",
        h("p", problem, class_="message", id="problem", role="alert") if problem else None,
        h("label", "Argument (JSON)", for_="argument"),
        h(
            "textarea",
            argument,
            id="argument",
            name="argument",
            spellcheck="false",
            aria_invalid="true" if problem else None,
            aria_describedby="problem" if problem else None,
        ),
        h(
            "label",
            h("input", type="checkbox", name="detailed", checked=_is_detailed(executions)),
            " Record the variables of every step",
        ),
        h("button", "Run", type="submit"),
        method="post",
        action=page_url(workflow.name, "run"),
    )


def _is_detailed(executions: Sequence[Execution]) -> bool:
    """Tell whether the latest execution recorded variables: the next one most likely should too."""
    return bool(executions) and executions[0].history_level == HistoryLevel.EXECUTION_HISTORY_DETAILED


def _executions(
    workflow: Workflow, executions: Sequence[Execution], now_s: float, first: int, *, is_live: bool
) -> Child:
    if not executions:
        return h("p", "None yet.", class_="soft")
    shown = executions[first : first + MAX_LISTED]
    headings = ("Execution", "State", "Started", "Took", "Argument", "Result")
    listed = table(headings, [_row(execution, now_s) for execution in shown], caption="Executions, newest first")
    return [h("div", listed, data_live=is_live), _pager(workflow, len(executions), first)]


def _row(execution: Execution, now_s: float) -> Sequence[Child]:
    end_s = execution.end_time if execution.end_time is not None else now_s
    took = duration_text(max(0.0, end_s - execution.start_time)) if execution.start_time is not None else None
    outcome = execution.result
    if execution.error is not None:
        outcome = execution.error.context.splitlines()[0] if execution.error.context else execution.error.payload
    return (
        h("a", h("code", execution.execution_id[:8]), href=page_url(execution.name), title=execution.execution_id),
        badge(execution.state),
        time_text(execution.create_time),
        h("span", took, class_="duration"),
        h("code", _short(execution.argument)),
        h("code", _short(outcome)) if outcome is not None else None,
    )


def _pager(workflow: Workflow, total: int, first: int) -> Markup | None:
    if total <= MAX_LISTED and not first:
        return None
    url = page_url(workflow.name)
    links: list[Child] = [f"{first + 1} to {min(total, first + MAX_LISTED)} of {total}"]
    if first:
        links.append(h("a", "Newer", href=f"{url}?first={max(0, first - MAX_LISTED)}"))
    if first + MAX_LISTED < total:
        links.append(h("a", "Older", href=f"{url}?first={first + MAX_LISTED}"))
    return h("p", [h("span", link) for link in links], class_="pages")


def _short(text: str) -> str:
    return text if len(text) <= _SHORT_TEXT else f"{text[:_SHORT_TEXT]}…"
