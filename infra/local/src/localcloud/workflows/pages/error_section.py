"""What failed, where: context, payload, stack, and the failures inside parallel steps."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from localcloud.workflows.model import ExecutionFailure
from localcloud.workflows.pages.layout import json_block, section, table
from localcloud.workflows.pages.markup import Child, Markup, h
from localcloud.workflows.pages.source_view import Mark, line_link, source_excerpt

_POSITION = re.compile(r'in step "(?P<step>[^"]*)", routine "(?P<routine>[^"]*)", line: (?P<line>\d+)')


@dataclass(frozen=True, slots=True)
class _ThreadFailure:
    """How one thread of a parallel step failed; `line` is 0 when its context names none."""

    thread: str
    message: str
    routine: str
    step: str
    line: int


def error_section(source: str, failure: ExecutionFailure) -> Markup:
    """Return the section about a failed execution of `source`."""
    marks = failure_marks(failure)
    threads = _thread_failures(failure.payload)
    frames = [
        (h("code", frame.routine), h("code", frame.step), line_link(frame.line) if frame.line else None)
        for frame in failure.stack_trace
    ]
    return section(
        "Error",
        h("p", failure.context.splitlines()[0] if failure.context else "The execution failed.", class_="message"),
        source_excerpt(source, marks[0]) if marks else None,
        _threads(threads) if threads else None,
        h("h3", "Payload"),
        json_block(failure.payload, "Payload of the error"),
        [h("h3", "Stack"), table(("Routine", "Step", "Place"), frames, caption="Stack, innermost first")]
        if frames
        else None,
    )


def failure_marks(failure: ExecutionFailure) -> Sequence[Mark]:
    """Return where the execution failed, and where the threads of its parallel steps did."""
    marks = [
        Mark(frame.line, "failed", f"in {frame.routine} · {frame.step}", frame.column, frame.length)
        for frame in failure.stack_trace[:1]
        if frame.line
    ]
    counts: dict[tuple[int, str], int] = {}
    for each in _thread_failures(failure.payload):
        if each.line:
            position = (each.line, f"in {each.routine} · {each.step}")
            counts[position] = counts.get(position, 0) + 1
    marks += [
        Mark(line, "failed", note if count == 1 else f"{note}, {count} threads")
        for (line, note), count in counts.items()
    ]
    return marks


def failed_steps(failure: ExecutionFailure) -> list[tuple[str, str, int]]:
    """Return routine, step and line of what failed: of every thread, or of the innermost frame; line 0 is unknown."""
    threads = [(each.routine, each.step, each.line) for each in _thread_failures(failure.payload) if each.step]
    return threads or [(frame.routine, frame.step, frame.line or 0) for frame in failure.stack_trace[:1]]


def _threads(failures: Sequence[_ThreadFailure]) -> Child:
    rows = [
        (
            h("code", each.thread),
            h("code", f"{each.routine} · {each.step}") if each.line else None,
            line_link(each.line) if each.line else None,
            each.message,
        )
        for each in failures
    ]
    return [h("h3", "Threads"), table(("Thread", "Step", "Place", "Error"), rows, caption="Threads that failed")]


def _thread_failures(payload: str) -> list[_ThreadFailure]:
    """Read the reports of an UnhandledBranchError; any other payload has none."""
    try:
        value = json.loads(payload)
    except ValueError:
        return []
    match value:
        case {"tags": [*tags], "branches": [*reports]} if "UnhandledBranchError" in tags:
            return [_thread_failure(report) for report in reports if isinstance(report, dict)]
        case _:
            return []


def _thread_failure(report: dict[str, object]) -> _ThreadFailure:
    match report.get("error"):
        case {"context": str() as context, "payload": {"message": str() as message}}:
            position = context.partition("\n")[2]
        case {"context": str() as context}:
            message, _, position = context.partition("\n")
        case _:
            message, position = "", ""
    found = _POSITION.search(position)
    routine, step, line = (found["routine"], found["step"], int(found["line"])) if found else ("", "", 0)
    return _ThreadFailure(str(report.get("id", "")), message, routine, step, line)
