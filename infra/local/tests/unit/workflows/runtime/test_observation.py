"""Step entries of real programs: progress, exceptions, and variables where the history is detailed."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest

from localcloud.workflows.api.resources import step_entry_json, to_wire
from localcloud.workflows.enums import StepEntryView
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.interpreter import ExecutionFailedError, run_program
from localcloud.workflows.runtime.scripted_host import make_host
from localcloud.workflows.step_history import MAX_EXCEPTION_CHARS, History

LOOP = """
- start: {assign: [{sum: 0}]}
- loop:
    for:
      value: v
      range: [1, 3]
      steps:
        - add: {assign: [{sum: '${sum + v}'}, {inner: '${v}'}]}
- done: {return: '${sum}'}
"""
BRANCHES = """
- both:
    parallel:
      branches:
        - left: {steps: [{l: {assign: [{x: 1}]}}]}
        - right: {steps: [{r: {assign: [{y: 1}]}}]}
"""
PARALLEL_LOOP = """
- all: {parallel: {for: {value: v, in: [7, 8], steps: [{s: {assign: [{x: '${v}'}]}}]}}}
"""
RETRY = """
- again:
    try: {call: sys.sleep, args: {seconds: -1}}
    retry: {predicate: '${retry.always}', max_retries: 2, backoff: {initial_delay: 1, max_delay: 1, multiplier: 1}}
"""
SWITCH = """- choose:
    switch:
      - condition: ${1 > 2}
        next: end
      - condition: true
        steps:
          - taken: {assign: [{x: 1}]}
      - condition: true
        next: end
"""


async def entries_of(
    source: str, *, detailed: bool = False, view: StepEntryView = StepEntryView.EXECUTION_ENTRY_VIEW_UNSPECIFIED
) -> list[dict[str, Any]]:
    """Run a program, whatever comes of it, and return its step entries."""
    history = History(records_variables=detailed)
    with contextlib.suppress(ExecutionFailedError):
        await run_program(load_program(source), None, replace(make_host(), observer=history))
    return [to_wire(step_entry_json("E", entry, view)) for entry in history.entries]


def variables(entry: dict[str, Any]) -> Any:
    """Return the variables that an entry shows, or None."""
    return entry.get("variableData", {}).get("variables")


@pytest.mark.parametrize(
    ("source", "kind", "progress"),
    [
        (LOOP, "STEP_FOR_ITERATION", [("PROGRESS_TYPE_FOR", str(n), "3") for n in (1, 2, 3)]),
        (BRANCHES, "STEP_PARALLEL_BRANCH_ENTRY", [("PROGRESS_TYPE_PARALLEL_BRANCH", str(n), "2") for n in (1, 2)]),
        (PARALLEL_LOOP, "STEP_FOR_ITERATION", [("PROGRESS_TYPE_PARALLEL_FOR", str(n), "2") for n in (1, 2)]),
        (SWITCH, "STEP_CONDITION", [("PROGRESS_TYPE_SWITCH", str(n), "3") for n in (1, 2)]),
        (RETRY, "STEP_RETRY", [("PROGRESS_TYPE_RETRY", str(n), "2") for n in (1, 2)]),
    ],
    ids=["for", "branches", "parallel for", "switch", "retry"],
)
async def test_repeated_entries_tell_their_progress(source: str, kind: str, progress: list[Any]) -> None:
    """Type, number from one, and, detailed, how many are expected."""
    repeated = [e["stepEntryMetadata"] for e in await entries_of(source, detailed=True) if e["stepType"] == kind]

    assert [(m["progressType"], m["progressNumber"], m["expectedIteration"]) for m in repeated] == progress


async def test_conditions_are_asked_until_one_is_true() -> None:
    """Each has an entry on its own line below the switch; what the taken entry does stands below its condition."""
    history = History()
    await run_program(load_program(SWITCH), None, replace(make_host(), observer=history))
    seen = [(entry.step, entry.step_type.name, entry.line, entry.parent) for entry in history.entries]

    assert seen == [
        ("choose", "STEP_SWITCH", 2, None),
        ("choose", "STEP_CONDITION", 3, 1),
        ("choose", "STEP_CONDITION", 5, 1),
        ("taken", "STEP_ASSIGN", 7, 3),
    ]


async def test_condition_that_fails_shows_why() -> None:
    """The condition and its switch failed, nothing below them ran."""
    entries = await entries_of("- a: {switch: [{condition: '${1 // 0 > 1}', next: end}]}\n")

    assert [(entry["stepType"], entry["state"], "exception" in entry) for entry in entries] == [
        ("STEP_SWITCH", "STATE_FAILED", True),
        ("STEP_CONDITION", "STATE_FAILED", True),
    ]


async def test_basic_history_has_neither_expectations_nor_variables() -> None:
    """Both belong to the detailed level."""
    entries = await entries_of(LOOP)

    assert [entry for entry in entries if "variableData" in entry] == []
    assert [entry for entry in entries if "expectedIteration" in entry["stepEntryMetadata"]] == []


async def test_detailed_entry_shows_the_variables_in_scope_at_its_end() -> None:
    """Later changes do not reach back; loop variables are gone after the loop."""
    entries = await entries_of(LOOP, detailed=True)
    adds = [variables(entry) for entry in entries if entry["step"] == "add"]

    assert adds == [{"sum": 1, "v": 1, "inner": 1}, {"sum": 3, "v": 2, "inner": 2}, {"sum": 6, "v": 3, "inner": 3}]
    assert (variables(entries[0]), variables(entries[-1])) == ({"sum": 0}, {"sum": 6})


async def test_elements_assigned_later_do_not_change_earlier_entries() -> None:
    """Maps and lists are shown as they were."""
    source = "- a: {assign: [{m: {k: 1}}]}\n- b: {assign: [{m.k: 2}]}\n"

    assert [variables(entry) for entry in await entries_of(source, detailed=True)] == [{"m": {"k": 1}}, {"m": {"k": 2}}]


async def test_subworkflow_shows_its_own_variables() -> None:
    """The caller's are out of scope."""
    source = """
    main: {steps: [{a: {assign: [{x: 1}]}}, {b: {call: sub, args: [2]}}]}
    sub: {params: [p], steps: [{c: {assign: [{y: 3}]}}]}
    """
    entries = await entries_of(source, detailed=True)

    assert [variables(entry) for entry in entries if entry["step"] == "c"] == [{"p": 2, "y": 3}]


async def test_values_without_json_form_are_shown_as_text() -> None:
    """Bytes become base64, infinite doubles their name."""
    source = "- a: {assign: [{b: '${text.encode(\"hi\")}'}, {f: '${double(\"1e308\") * 10}'}]}\n"
    (entry,) = await entries_of(source, detailed=True)

    assert variables(entry) == {"b": "aGk=", "f": "+Inf"}


async def test_basic_view_hides_recorded_variables() -> None:
    """The reference: all fields except variableData."""
    entries = await entries_of(LOOP, detailed=True, view=StepEntryView.EXECUTION_ENTRY_VIEW_BASIC)

    assert [entry for entry in entries if "variableData" in entry] == []


async def test_failed_entries_show_what_left_them() -> None:
    """Payload as in the execution's own error; the steps around a caught error succeeded without one."""
    source = "- a: {try: {steps: [{b: {raise: {code: 7}}}]}, except: {as: e, steps: [{c: {assign: [{x: 1}]}}]}}\n"
    entries = await entries_of(source)
    shown = {(entry["step"], entry["stepType"]): entry.get("exception") for entry in entries}

    assert shown == {
        ("a", "STEP_TRY_RETRY_EXCEPT"): None,
        ("a", "STEP_TRY"): {"payload": '{"code":7}'},
        ("b", "STEP_RAISE"): {"payload": '{"code":7}'},
        ("a", "STEP_EXCEPT"): None,
        ("c", "STEP_ASSIGN"): None,
    }


async def test_long_exceptions_are_cut() -> None:
    """Thousands of failures with long answers fit into memory."""
    source = "- a: {raise: '${text.replace_all(\"" + "a" * 300 + '", "a", "' + "b" * 50 + "\")}'}\n"
    (entry,) = await entries_of(source)

    assert len(entry["exception"]["payload"]) == MAX_EXCEPTION_CHARS + len("...")
