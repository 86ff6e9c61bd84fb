"""Arranging step entries, on histories made as the interpreter makes them."""

from __future__ import annotations

from localcloud.workflows.pages.timeline import timeline
from localcloud.workflows.runtime.host import Progress
from localcloud.workflows.step_history import History


class Recorder:
    """A history with a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.history = History(lambda: self.now_s)

    def begin(self, step: str, kind: str = "STEP_ASSIGN", thread: str = "main") -> int:
        """Begin a step."""
        return self.history.step_started(routine="main", step=step, step_type=kind, line=1, thread=thread)

    def end(self, entry: int, after_s: float = 0.0) -> None:
        """End a step `after_s` seconds later."""
        self.now_s += after_s
        self.history.step_ended(entry, failed=False)


def labels(recorder: Recorder, first: int = 0, most: int = 100) -> list[tuple[int, str]]:
    """Return depth and label of each row."""
    shown = timeline(recorder.history.entries, now_s=recorder.now_s, first=first, most=most)
    return [(row.depth, row.label) for row in shown.rows]


def test_steps_of_parallel_threads_stand_below_their_own_iteration() -> None:
    """Threads take turns, the page does not: each iteration's steps are together."""
    recorder = Recorder()
    fan = recorder.begin("fan", "STEP_PARALLEL_FOR")
    one = recorder.begin("fan", "STEP_FOR_ITERATION", "main/fan:0")
    two = recorder.begin("fan", "STEP_FOR_ITERATION", "main/fan:1")
    for thread in ("main/fan:0", "main/fan:1"):
        recorder.end(recorder.begin("work", thread=thread))
    for entry in (one, two, fan):
        recorder.end(entry)

    assert labels(recorder) == [(0, "fan"), (1, "fan #1"), (2, "work"), (1, "fan #2"), (2, "work")]


def test_branch_is_labelled_with_its_name() -> None:
    """A branch has a name instead of a number."""
    recorder = Recorder()
    recorder.begin("fork", "STEP_PARALLEL_BRANCH")
    recorder.begin("fork", "STEP_PARALLEL_BRANCH_ENTRY", "main/fork:left")

    assert labels(recorder)[1] == (1, "fork · left")


def test_tries_of_a_step_are_numbered() -> None:
    """The second attempt is told from the first."""
    recorder = Recorder()
    recorder.begin("call", "STEP_TRY_RETRY_EXCEPT")
    for kind in ("STEP_TRY", "STEP_RETRY", "STEP_TRY"):
        recorder.end(recorder.begin("call", kind))

    assert labels(recorder) == [(0, "call"), (1, "call #1"), (1, "call #1"), (1, "call #2")]


def test_condition_has_its_number_in_the_switch() -> None:
    """A jump into the third entry asks neither of the two before it."""
    recorder = Recorder()
    recorder.begin("choose", "STEP_SWITCH")
    recorder.history.step_started(
        routine="main",
        step="choose",
        step_type="STEP_CONDITION",
        line=1,
        thread="main",
        progress=Progress("PROGRESS_TYPE_SWITCH", 3, 4),
    )

    assert labels(recorder) == [(0, "choose"), (1, "choose #3")]


def test_running_step_is_drawn_until_now() -> None:
    """Its duration grows with the clock, that of an ended one does not."""
    recorder = Recorder()
    recorder.end(recorder.begin("done"), after_s=2)
    recorder.begin("runs")
    shown = timeline(recorder.history.entries, now_s=recorder.now_s + 5, first=0, most=10)

    assert [(row.start_s, row.duration_s, row.is_running) for row in shown.rows] == [(0, 2, False), (2, 5, True)]
    assert shown.span_s == 7


def test_page_of_a_long_timeline_says_how_much_there_is() -> None:
    """Rows are cut out, the total is not."""
    recorder = Recorder()
    for index in range(10):
        recorder.end(recorder.begin(f"s{index}"))
    shown = timeline(recorder.history.entries, now_s=recorder.now_s, first=4, most=3)

    assert ([row.label for row in shown.rows], shown.total) == (["s4", "s5", "s6"], 10)


def test_deleted_history_has_an_empty_timeline() -> None:
    """There is nothing to draw, and no division by it."""
    recorder = Recorder()
    recorder.end(recorder.begin("s"))
    recorder.history.forget()

    assert timeline(recorder.history.entries, now_s=0, first=0, most=10).total == 0
