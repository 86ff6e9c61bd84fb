"""Step entries and current steps, as the observer was told them."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.core.google_errors import GoogleError
from localcloud.workflows.api.lists import ListQuery
from localcloud.workflows.api.resources import step_entry_json, to_wire
from localcloud.workflows.enums import StepState
from localcloud.workflows.step_history import History


def begin(
    history: History, step: str, step_type: str = "STEP_ASSIGN", *, thread: str = "main", routine: str = "main"
) -> int:
    return history.step_started(routine=routine, step=step, step_type=step_type, line=1, thread=thread)


@pytest.fixture
def history() -> History:
    return History(lambda: 1_700_000_000.25)


def test_step_entry_has_googles_fields(history: History) -> None:
    """A loop with two steps links parent, children and neighbours."""
    loop = begin(history, "loop", "STEP_FOR")
    first = begin(history, "first")
    history.step_ended(first, failed=False)
    second = begin(history, "second", "STEP_RAISE")
    history.step_ended(second, failed=True)
    history.step_ended(loop, failed=True)

    shown = [to_wire(step_entry_json("E", entry)) for entry in history.entries]

    assert shown[1] == {
        "name": "E/stepEntries/2",
        "createTime": "2023-11-14T22:13:20.250000Z",
        "updateTime": "2023-11-14T22:13:20.250000Z",
        "routine": "main",
        "step": "first",
        "stepType": "STEP_ASSIGN",
        "state": "STATE_SUCCEEDED",
        "entryId": "2",
        "navigationInfo": {"parent": "1", "next": "3"},
        "stepEntryMetadata": {"threadId": "main"},
    }
    assert shown[2]["navigationInfo"] == {"parent": "1", "previous": "2"}
    assert (shown[0]["navigationInfo"], shown[0]["state"]) == ({"children": ["2", "3"]}, "STATE_FAILED")


def test_current_step_is_the_innermost(history: History) -> None:
    """Inside a subworkflow only its step is listed."""
    begin(history, "call", "STEP_SUBWORKFLOW_CALL")
    begin(history, "inside", routine="sub")

    assert history.current_steps() == [("sub", "inside")]


def test_current_steps_of_parallel_branches_stand_for_the_parallel_step(history: History) -> None:
    """Each running branch has a current step."""
    begin(history, "fan_out", "STEP_PARALLEL_FOR")
    begin(history, "left", thread="main/fan_out:1")
    begin(history, "right", thread="main/fan_out:2")

    assert history.current_steps() == [("main", "left"), ("main", "right")]
    assert [entry.parent for entry in history.entries] == [None, 1, 1]


def test_step_that_a_jump_left_open_ends_with_its_parent(history: History) -> None:
    """Leaving a block closes what was begun in it."""
    outer = begin(history, "outer", "STEP_TRY")
    begin(history, "inner")

    history.step_ended(outer, failed=False)

    assert [entry.state for entry in history.entries] == [StepState.STATE_SUCCEEDED] * 2
    assert history.current_steps() == [("main", "inner")]


def test_open_steps_end_with_the_execution(history: History) -> None:
    """A cancelled execution has no step in progress."""
    begin(history, "outer", "STEP_FOR")
    begin(history, "inner")

    history.finish(StepState.STATE_CANCELLED)

    assert {entry.state for entry in history.entries} == {StepState.STATE_CANCELLED}


def test_ids_count_on_after_the_history_is_deleted(history: History) -> None:
    """Deleted entries are gone; their ids are not given again."""
    history.step_ended(begin(history, "a"), failed=False)
    history.forget()

    assert (begin(history, "b"), history.entry(1)) == (2, None)


def test_ending_an_unknown_entry_changes_nothing(history: History) -> None:
    """An entry of a deleted history may still end."""
    history.step_ended(7, failed=False)

    assert history.entries == []


async def test_step_entries_are_listed_filtered_and_read(emulator: Any) -> None:
    """The list is in order of beginning, with the total, and takes a filter."""

    async def steps(argument: object, host: Any) -> None:
        for name in ("a", "b", "a"):
            host.observer.step_ended(begin(host.observer, name), failed=False)

    emulator.programs["steps"] = steps
    emulator.deploy("steps")
    name = emulator.start()
    await emulator.finish(name)

    everything = emulator.executions.list_step_entries(name, ListQuery())
    some = emulator.executions.list_step_entries(name, ListQuery(filter='step = "a" AND entryId > 1'))
    short = emulator.executions.list_step_entries(name, ListQuery(filter='state="SUCCEEDED" stepType=ASSIGN'))
    skipped = emulator.executions.list_step_entries(name, ListQuery(), skip=2)

    assert [entry["entryId"] for entry in everything["stepEntries"]] == ["1", "2", "3"]
    assert everything["totalSize"] == 3
    assert [entry["entryId"] for entry in some["stepEntries"]] == ["3"]
    assert len(short["stepEntries"]) == 3
    assert [entry["entryId"] for entry in skipped["stepEntries"]] == ["3"]
    assert emulator.executions.get_step_entry(name, "2")["step"] == "b"
    for unknown in ("9", "\u00b2", "9" * 5000):
        with pytest.raises(GoogleError, match="was not found"):
            emulator.executions.get_step_entry(name, unknown)


async def test_history_is_deleted_only_after_the_end(emulator: Any) -> None:
    """A running execution keeps its history."""
    emulator.deploy("wait")
    name = emulator.start()
    await emulator.clock.advance(1)

    with pytest.raises(GoogleError, match="has not ended yet"):
        emulator.executions.delete_history(name)
    await emulator.clock.advance(60)
    emulator.executions.delete_history(name)

    assert emulator.executions.list_step_entries(name, ListQuery()) == {}
