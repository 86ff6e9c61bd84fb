"""The memory that recorded variables take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.workflows.step_history import BYTES_PER_ENTRY, History
from localcloud.workflows.variable_snapshots import VariableSnapshots


@dataclass
class Entry:
    """Something that holds a snapshot."""

    entry_id: int
    variables: Any = None


def text(number: int, size: int = 92) -> str:
    """Return a string that counts for 100 bytes and is no other's object."""
    return f"{number:0{size}d}"


def test_oldest_entries_lose_their_variables_first() -> None:
    """The newest three fit."""
    snapshots = VariableSnapshots(max_bytes=300)
    entries = [Entry(number) for number in range(5)]

    for entry in entries:
        snapshots.keep(entry, {"x": text(entry.entry_id)})

    assert [bool(entry.variables) for entry in entries] == [False, False, True, True, True]
    assert (entries[0].variables, snapshots.used_bytes) == ({}, 300)


def test_shared_values_count_once() -> None:
    """A variable that does not change costs nothing more."""
    snapshots = VariableSnapshots(max_bytes=300)
    shared = text(1)
    entries = [Entry(number) for number in range(50)]

    for entry in entries:
        snapshots.keep(entry, {"x": shared})

    assert (snapshots.used_bytes, all(entry.variables for entry in entries)) == (100, True)


def test_later_snapshot_of_an_entry_replaces_the_earlier() -> None:
    """What only the earlier held is given back."""
    snapshots = VariableSnapshots()
    entry, shared = Entry(1), text(1)
    snapshots.keep(entry, {"x": shared, "y": text(2)})

    snapshots.keep(entry, {"x": shared, "y": text(3), "z": text(4)})

    assert (snapshots.used_bytes, len(entry.variables)) == (300, 3)


def test_newest_snapshot_stays_however_large() -> None:
    """A budget below one snapshot still shows where the execution is."""
    snapshots = VariableSnapshots(max_bytes=10)
    first, second = Entry(1), Entry(2)
    snapshots.keep(first, {"x": text(1)})
    snapshots.keep(second, {"x": text(2)})

    assert (first.variables, bool(second.variables), snapshots.used_bytes) == ({}, True, 100)


def test_history_weighs_its_variables() -> None:
    """The store drops finished executions by weight; a deleted history weighs nothing."""
    history = History(records_variables=True)
    entry = history.step_started(
        routine="main", step="s", step_type="STEP_ASSIGN", line=1, thread="main", variables={"x": text(1, 10_000)}
    )
    history.step_ended(entry, failed=False)
    weight = history.weight
    history.forget()

    assert (weight, history.weight) == (1 + 10_008 // BYTES_PER_ENTRY, 0)
