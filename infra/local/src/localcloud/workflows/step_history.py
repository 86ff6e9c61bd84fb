"""The step history of one execution: what `status.currentSteps` and the step entries are read from.

Implements the interpreter's `StepObserver`. Entries stay mutable while their step runs; an execution may make 100,000.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from localcloud.workflows.enums import StepState, StepType
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.jsontext import JsonEncodeError, encode_json_leniently
from localcloud.workflows.runtime.host import Progress
from localcloud.workflows.values import Value
from localcloud.workflows.variable_snapshots import VariableSnapshots

BYTES_PER_ENTRY = 250
"""What a step entry without variables takes, about."""

MAX_EXCEPTION_CHARS = 10_000
"""How much of a raised value an entry keeps: thousands of failed calls may each have an answer of 2 MB."""

_TYPES = dict(StepType.__members__)
"""By name; a plain dict, as an enumeration's own look-up takes longer and every step has one."""


@dataclass(slots=True)
class StepEntry:
    """One attempt of one step; `entry_id` counts up from 1, `thread` is a path such as `main/fan_out:3`.

    `exception` is JSON text of the value that left the step; `variables` are None unless the history is detailed,
    and empty once they were dropped to save memory.
    """

    entry_id: int
    routine: str
    step: str
    step_type: StepType
    line: int
    thread: str
    create_time: float
    update_time: float
    parent: int | None
    previous: int | None
    next: int | None = None
    state: StepState = StepState.STATE_IN_PROGRESS
    children: list[int] = field(default_factory=list)
    progress: Progress | None = None
    exception: str | None = None
    variables: Mapping[str, Value] | None = None


MAX_LOG_LINES = 500
MAX_LOG_CHARS = 300
"""Of what an execution writes with `sys.log`; for its page, the log itself is complete."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """What `sys.log` wrote, shortened."""

    time: float
    severity: str
    text: str


class History:
    """Collects the step entries of one execution, and the last lines of its log."""

    def __init__(self, now: Callable[[], float] = lambda: 0.0, *, records_variables: bool = False) -> None:
        self._now = now
        self.records_variables = records_variables
        """Whether the history is detailed."""
        self.entries: list[StepEntry] = []
        self._open: dict[str, list[StepEntry]] = {}
        """Thread to its open entries, outermost first."""
        self._closed_sibling: dict[tuple[str, int], int] = {}
        """Thread and parent id (0 for none) to the entry that ended last there."""
        self._last: StepEntry | None = None
        self._forgotten = 0
        self.logs: deque[LogLine] = deque(maxlen=MAX_LOG_LINES)
        self.dropped_logs = 0
        self._snapshots = VariableSnapshots()
        self._last_error: tuple[Value, str] | None = None
        """An error on its way outward ends several steps, which share its text."""

    def logged(self, severity: str, text: str) -> None:
        """Keep a line of the log; the oldest goes when there are too many."""
        self.dropped_logs += len(self.logs) == MAX_LOG_LINES
        shown = text if len(text) <= MAX_LOG_CHARS else f"{text[:MAX_LOG_CHARS]}…"
        self.logs.append(LogLine(self._now(), severity, shown))

    def step_started(
        self,
        *,
        routine: str,
        step: str,
        step_type: str,
        line: int,
        thread: str,
        progress: Progress | None = None,
        variables: Mapping[str, Value] | None = None,
    ) -> int:
        """Open an entry and return its id."""
        stack = self._open.get(thread)
        if stack is None:
            stack = self._open[thread] = []
        parent = stack[-1] if stack else self._waiting_in(thread.rpartition("/")[0])
        now_s = self._now()
        parent_id = None if parent is None else parent.entry_id
        previous = self._closed_sibling.get((thread, parent_id or 0))
        entry = StepEntry(
            self._forgotten + len(self.entries) + 1,
            routine,
            step,
            _TYPES[step_type],
            line,
            thread,
            now_s,
            now_s,
            parent_id,
            previous,
            progress=progress,
        )
        if variables is not None:
            self._snapshots.keep(entry, variables)
        if parent is not None:
            parent.children.append(entry.entry_id)
        if previous is not None and previous > self._forgotten:
            self.entries[previous - 1 - self._forgotten].next = entry.entry_id
        stack.append(entry)
        self.entries.append(entry)
        self._last = entry
        return entry.entry_id

    def step_ended(
        self,
        entry: int,
        *,
        failed: bool,
        error: WorkflowError | None = None,
        variables: Mapping[str, Value] | None = None,
    ) -> None:
        """Close the entry with that id, and whatever a jump out of it left open inside."""
        index = entry - 1 - self._forgotten
        if not 0 <= index < len(self.entries):
            return
        closing = self.entries[index]
        if error is not None:
            closing.exception = self._text_of(error)
        if variables is not None:
            self._snapshots.keep(closing, variables)
        closing.state = state = StepState.STATE_FAILED if failed else StepState.STATE_SUCCEEDED
        closing.update_time = self._now()
        stack = self._open.get(closing.thread)
        while stack:
            top = stack.pop()
            if top is closing:
                break
            self._close(top, state)
        if not stack:
            self._open.pop(closing.thread, None)
        siblings = self._closed_sibling
        if closing.children:
            siblings.pop((closing.thread, entry), None)
        siblings[closing.thread, closing.parent or 0] = entry

    def finish(self, state: StepState) -> None:
        """Close what is still open, because the execution was cancelled or broke."""
        for stack in self._open.values():
            for entry in stack:
                self._close(entry, state)
        self._open.clear()
        self._closed_sibling.clear()
        self._last_error = None

    def entry(self, entry_id: int) -> StepEntry | None:
        """Return the entry with that id, or None."""
        index = entry_id - 1 - self._forgotten
        return self.entries[index] if 0 <= index < len(self.entries) else None

    @property
    def weight(self) -> int:
        """Return how much memory the history takes, in step entries of ordinary size."""
        return len(self.entries) + len(self.logs) + self._snapshots.used_bytes // BYTES_PER_ENTRY

    def forget(self) -> None:
        """Drop all entries; ids keep counting (`executions.deleteExecutionHistory`)."""
        self._forgotten += len(self.entries)
        self.entries.clear()
        self.logs.clear()
        self._snapshots.clear()

    def current_steps(self) -> list[tuple[str, str]]:
        """Return routine and step of the innermost running step of each thread, or of the last step there was.

        A thread that waits for its parallel branches is represented by them.
        """
        return [(entry.routine, entry.step) for entry in self.current_entries()]

    def current_entries(self) -> list[StepEntry]:
        """Return the entries that `current_steps` names."""
        running = [stack[-1] for thread, stack in self._open.items() if not self._has_branches(thread)]
        if running:
            return running
        return [self._last] if self._last else []

    def _has_branches(self, thread: str) -> bool:
        return any(other.startswith(f"{thread}/") for other in self._open)

    def _waiting_in(self, thread: str) -> StepEntry | None:
        """Return the parallel step in which a thread waits for the threads below it."""
        stack = self._open.get(thread)
        return stack[-1] if stack else None

    def _close(self, entry: StepEntry, state: StepState) -> None:
        entry.state = state
        entry.update_time = self._now()

    def _text_of(self, error: WorkflowError) -> str:
        if self._last_error is None or self._last_error[0] is not error.value:
            self._last_error = (error.value, _payload(error.value))
        return self._last_error[1]


def _payload(value: Value) -> str:
    try:
        text = encode_json_leniently(value)
    except JsonEncodeError as error:
        return encode_json_leniently(f"(a value that cannot be written: {error})")
    return text if len(text) <= MAX_EXCEPTION_CHARS else f"{text[:MAX_EXCEPTION_CHARS]}..."
