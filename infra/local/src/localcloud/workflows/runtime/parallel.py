"""Runs the branches or iterations of a parallel step as asyncio tasks.

All of them finish, whatever fails (`continueAll`, the only policy); then the failures become one error. At most 20
run at a time in an execution. A thread that waits for its own parallel step gives its slot to its children, so nested
steps cannot starve. Does not know about: running a block of steps (the interpreter passes that in).

Source: https://cloud.google.com/workflows/docs/reference/syntax/parallel-steps
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from localcloud.workflows.errors import WorkflowError, type_error, unhandled_branch_error, value_error
from localcloud.workflows.limits import MAX_CONCURRENT_THREADS
from localcloud.workflows.runtime.evaluation import evaluate
from localcloud.workflows.runtime.failure import branch_failure
from localcloud.workflows.runtime.host import Progress
from localcloud.workflows.runtime.iteration import LoopValues, loop_values
from localcloud.workflows.runtime.observation import PARALLEL_BRANCH_PROGRESS, PARALLEL_FOR_PROGRESS
from localcloud.workflows.runtime.run import Run
from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.source.steps import Block, For, Parallel, Step
from localcloud.workflows.source.templates import Template
from localcloud.workflows.values import message_type_name

RunThread = Callable[["Thread"], Awaitable[None]]

_RAISED_BY_USER = "RuntimeError"


@dataclass(frozen=True, slots=True)
class Thread:
    """A branch or iteration that is ready to run; `step` is the parallel step."""

    id: str
    block: Block
    scope: Scope
    step: Step
    is_iteration: bool
    progress: Progress


@dataclass(slots=True)
class _Failures:
    """What went wrong so far, by the order in which the threads were started."""

    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    is_truncated: bool = False

    def add(self, order: int, thread_id: str, error: WorkflowError, run: Run) -> None:
        for tag in error.tags or (_RAISED_BY_USER,):
            if type(tag) is str and tag not in self.tags:
                self.tags.append(tag)
        if run.may_keep_exception():
            self.reports[order] = {"id": thread_id, "error": branch_failure(error)}
        else:
            self.is_truncated = True


async def run_parallel(parallel: Parallel, step: Step, scope: Scope, run_thread: RunThread) -> None:
    """Run a parallel step to its end.

    Raises:
        WorkflowError: UnhandledBranchError when threads failed; ParallelNestingError; an uncatchable error at once.
    """
    scope.activation.check_may_nest_parallel()
    limit = await _concurrency_limit(parallel.concurrency_limit, scope)
    count, threads = await _threads(parallel, step, scope)
    failures = _Failures()
    async with _slot_lent(scope):
        await _run_workers(enumerate(threads), min(limit, count), scope.activation.run, run_thread, failures)
    if failures.tags or failures.is_truncated:
        reports = [report for _, report in sorted(failures.reports.items())]
        raise unhandled_branch_error(reports, failures.tags, truncated=failures.is_truncated)


async def _concurrency_limit(template: Template | None, scope: Scope) -> int:
    if template is None:
        return MAX_CONCURRENT_THREADS
    value = await evaluate(template, scope)
    if type(value) is not int:
        raise type_error(f"concurrency_limit must be an integer; got: {message_type_name(value)}")
    if value < 1:
        raise value_error("concurrency_limit must be a positive integer")
    return min(value, MAX_CONCURRENT_THREADS)


async def _threads(parallel: Parallel, step: Step, scope: Scope) -> tuple[int, Iterator[Thread]]:
    """Return how many threads there are, and the threads."""
    match parallel.work:
        case For() as loop:
            items = await loop_values(loop, scope)
            return items.count, _iterations(loop, items, step, scope)
        case branches:
            count = len(branches)
            return count, iter(
                [
                    _thread(
                        branch.name, branch.body, (), scope, step, Progress(PARALLEL_BRANCH_PROGRESS, number, count)
                    )
                    for number, branch in enumerate(branches, start=1)
                ]
            )


def _iterations(loop: For, items: LoopValues, step: Step, scope: Scope) -> Iterator[Thread]:
    """Yield the iterations as they are asked for, each with its loop variables set."""
    variables = (loop.value,) if loop.index is None else (loop.value, loop.index)
    for index, item in enumerate(items.values):
        progress = Progress(PARALLEL_FOR_PROGRESS, index + 1, items.count)
        thread = _thread(str(index), loop.body, variables, scope, step, progress)
        thread.scope.store(loop.value, item)
        if loop.index is not None:
            thread.scope.store(loop.index, index)
        yield thread


def _thread(
    thread_id: str, block: Block, variables: tuple[str, ...], scope: Scope, step: Step, progress: Progress
) -> Thread:
    names = [*variables, *scope.new_names(block.assigned)]
    activation = scope.activation.for_thread(f"{step.name}:{thread_id}")
    return Thread(thread_id, block, scope.child(names, activation), step, bool(variables), progress)


async def _run_workers(
    threads: Iterator[tuple[int, Thread]],
    worker_count: int,
    run: Run,
    run_thread: RunThread,
    failures: _Failures,
) -> None:
    async def worker() -> None:
        while True:
            async with run.slots:
                following = next(threads, None)
                if following is None:
                    return
                order, thread = following
                run.count_step()
                try:
                    await run_thread(thread)
                except WorkflowError as error:
                    if not error.catchable:
                        raise
                    failures.add(order, thread.id, error, run)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(worker_count):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        # One bug or exhausted limit ends the execution; the group has cancelled the other threads.
        raise errors.exceptions[0] from None


@asynccontextmanager
async def _slot_lent(scope: Scope) -> AsyncIterator[None]:
    slots = scope.activation.run.slots
    if scope.activation.parallel_depth == 0:
        yield
        return
    slots.release()
    try:
        yield
    finally:
        await slots.acquire()
