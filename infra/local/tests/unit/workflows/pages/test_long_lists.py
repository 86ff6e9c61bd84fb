"""Pages of what does not fit on one page."""

from __future__ import annotations

import re

import pytest

from localcloud.workflows.enums import ExecutionState
from localcloud.workflows.loader import load_program
from localcloud.workflows.model import Execution, Revision, Workflow
from localcloud.workflows.pages.execution_page import execution_page
from localcloud.workflows.pages.layout import duration_text
from localcloud.workflows.pages.steps_table import MAX_ROWS, StepsView
from localcloud.workflows.pages.workflow_page import MAX_LISTED, workflow_page
from localcloud.workflows.step_history import History
from localcloud.workflows.store import Store

NAME = "projects/p/locations/l/workflows/w"
SOURCE = "- a:\n    return: 1\n"
REVISION = Revision("000001-abc", 0.0, SOURCE, load_program(SOURCE), "sa@p", {})


def execution(number: int, steps: int = 0) -> Execution:
    """Return a finished execution with as many steps."""
    history = History()
    for index in range(steps):
        entry = history.step_started(routine="main", step=f"s{index}", step_type="STEP_ASSIGN", line=1, thread="main")
        history.step_ended(entry, failed=False)
    name = f"{NAME}/executions/e{number:04}"
    return Execution(name, REVISION, "null", ExecutionState.SUCCEEDED, 0.0, 0.0, 1.0, history=history)


def links(page: str) -> list[tuple[str, str]]:
    """Return the texts and targets of the pager."""
    return re.findall(r'\?first=(\d+)(?:#steps)?">(\w+)', page)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (0, [(str(MAX_ROWS), "Later")]),
        (MAX_ROWS, [("0", "Earlier"), (str(2 * MAX_ROWS), "Later")]),
        (2 * MAX_ROWS, [(str(MAX_ROWS), "Earlier")]),
    ],
    ids=["first", "middle", "last"],
)
def test_long_timeline_leads_to_its_other_pages(first: int, expected: list[tuple[str, str]]) -> None:
    """Earlier and later steps are a link away, and none leads nowhere."""
    page = execution_page(execution(1, steps=2 * MAX_ROWS + 1), now_s=1.0, view=StepsView(first))

    assert links(page) == expected


def test_short_timeline_has_no_other_pages() -> None:
    """No pager without need."""
    assert links(execution_page(execution(1, steps=3), now_s=1.0)) == []


def test_executions_are_listed_newest_first_and_lead_to_older_ones() -> None:
    """The newest of many is on the first page, the oldest is not."""
    store = Store()
    workflow = Workflow(NAME, 0.0, 0.0, (REVISION,))
    store.workflows[NAME] = workflow
    for number in range(MAX_LISTED + 1):
        store.put_execution(execution(number))
    page = workflow_page(store, workflow, now_s=1.0)

    assert links(page) == [(str(MAX_LISTED), "Older")]
    assert f"executions/e{MAX_LISTED:04}" in page
    assert "executions/e0000" not in page


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.0004, "<1 ms"), (0.0124, "12 ms"), (3.417, "3.42 s"), (247, "4 min 7 s"), (7500, "2 h 5 min")],
)
def test_duration_is_short_enough_to_compare(seconds: float, text: str) -> None:
    """The unit fits the size."""
    assert duration_text(seconds) == text
