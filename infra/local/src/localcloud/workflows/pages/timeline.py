"""Step entries as rows of a timeline: nested by call, thread and iteration, with their share of the whole time.

Does not know about: HTML.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from localcloud.workflows.enums import StepState, StepType
from localcloud.workflows.step_history import StepEntry

_THREADS = frozenset({StepType.STEP_FOR_ITERATION, StepType.STEP_PARALLEL_BRANCH_ENTRY})
_NUMBERED = _THREADS | {StepType.STEP_CONDITION, StepType.STEP_TRY, StepType.STEP_RETRY}


@dataclass(frozen=True, slots=True)
class Row:
    """One step entry.

    Attributes:
        entry: the entry.
        label: name of the step, with the number of the iteration, attempt or condition, or the name of the branch:
            `fan_out #3`.
        depth: how many entries enclose it.
        start_s: seconds from the beginning of the timeline.
        duration_s: how long it took, so far if it runs.
        hidden: how many entries below it are folded away; 0 when it is unfolded or has none below.
    """

    entry: StepEntry
    label: str
    depth: int
    start_s: float
    duration_s: float
    hidden: int = 0

    @property
    def is_running(self) -> bool:
        """Whether the step has not ended."""
        return self.entry.state == StepState.STATE_IN_PROGRESS


@dataclass(frozen=True, slots=True)
class Timeline:
    """A page of rows; `span_s` is the time that the whole bar stands for, `total` counts all entries."""

    rows: tuple[Row, ...]
    span_s: float
    total: int


def timeline(
    entries: Sequence[StepEntry],
    *,
    now_s: float,
    first: int,
    most: int,
    folded: Collection[int] = (),
    failed_only: bool = False,
) -> Timeline:
    """Arrange entries depth first: what a step did stands below it, iterations in the order they began.

    Args:
        entries: of one execution, in order of their ids.
        now_s: until when running steps are drawn.
        first: rows to leave out at the top.
        most: rows to return.
        folded: ids of entries whose insides are left out.
        failed_only: only entries that failed, and those around them.
    """
    if not entries:
        return Timeline((), 0.0, 0)
    begin_s = entries[0].create_time
    end_s = max(_end(entry, now_s) for entry in entries)
    # Cut off early: a page of the first rows must not pay for 100,000.
    wanted = _failed_with_parents(entries) if failed_only else None
    shown = itertools.islice(_depth_first(entries, folded, wanted), first, first + most)
    rows = tuple(
        Row(entry, label, depth, entry.create_time - begin_s, max(0.0, _end(entry, now_s) - entry.create_time), hidden)
        for entry, label, depth, hidden in shown
    )
    return Timeline(rows, end_s - begin_s, len(entries) if wanted is None else len(wanted))


def _end(entry: StepEntry, now_s: float) -> float:
    return now_s if entry.state == StepState.STATE_IN_PROGRESS else entry.update_time


def _failed_with_parents(entries: Sequence[StepEntry]) -> set[int]:
    by_id = {entry.entry_id: entry for entry in entries}
    wanted: set[int] = set()
    for entry in entries:
        each: StepEntry | None = entry if entry.state == StepState.STATE_FAILED else None
        while each is not None and each.entry_id not in wanted:
            wanted.add(each.entry_id)
            each = by_id.get(each.parent) if each.parent is not None else None
    return wanted


def _depth_first(
    entries: Sequence[StepEntry], folded: Collection[int], wanted: Collection[int] | None
) -> Iterator[tuple[StepEntry, str, int, int]]:
    by_id = {entry.entry_id: entry for entry in entries}
    roots = [entry for entry in entries if entry.parent not in by_id]
    # A stack, not recursion: entries nest as deep as calls and loops do.
    waiting = [(entry, label, 0) for entry, label in reversed(_labelled(roots))]
    while waiting:
        entry, label, depth = waiting.pop()
        if wanted is not None and entry.entry_id not in wanted:
            continue
        if entry.entry_id in folded:
            yield entry, label, depth, _count_below(entry, by_id)
            continue
        yield entry, label, depth, 0
        children = [by_id[child] for child in entry.children if child in by_id]
        waiting += [(child, text, depth + 1) for child, text in reversed(_labelled(children))]


def _count_below(entry: StepEntry, by_id: Mapping[int, StepEntry]) -> int:
    count, waiting = 0, [*entry.children]
    while waiting:
        child = by_id.get(waiting.pop())
        if child is not None:
            count += 1
            waiting += child.children
    return count


def _labelled(siblings: Sequence[StepEntry]) -> list[tuple[StepEntry, str]]:
    """Number what repeats: iterations by their thread or order, tries, retries and conditions by their order."""
    counts: dict[StepType, int] = {}
    labelled = []
    for entry in siblings:
        label = entry.step
        if entry.step_type in _NUMBERED:
            counts[entry.step_type] = counts.get(entry.step_type, 0) + 1
            label = f"{entry.step} {_number(entry, counts[entry.step_type])}"
        labelled.append((entry, label))
    return labelled


def _number(entry: StepEntry, ordinal: int) -> str:
    if entry.step_type == StepType.STEP_CONDITION and entry.progress is not None:
        # A jump into a later entry of a switch asks none of the conditions before it.
        return f"#{entry.progress.number}"
    thread = entry.thread.rpartition("/")[2]
    name, _, part = thread.rpartition(":")
    if entry.step_type in _THREADS and name == entry.step:
        return f"#{int(part) + 1}" if part.isdecimal() else f"· {part}"
    return f"#{ordinal}"
