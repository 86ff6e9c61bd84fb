"""Parallel steps: how many threads run at a time, and what they see of one another."""

from __future__ import annotations

import asyncio

import pytest

from coroutine_tests import until
from localcloud.core.clock import ManualClock
from localcloud.workflows.limits import MAX_CONCURRENT_THREADS
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.interpreter import ExecutionFailedError, run_program
from localcloud.workflows.runtime.scripted_host import make_host
from localcloud.workflows.values import Value


class Running:
    """An execution on a manual clock."""

    def __init__(self, source: str) -> None:
        self.clock = ManualClock()
        program = load_program(source)
        self.task: asyncio.Task[Value] = asyncio.create_task(run_program(program, None, make_host(clock=self.clock)))

    async def until_sleeping(self, count: int) -> None:
        """Wait until exactly `count` threads sleep and nothing else happens."""
        await until(lambda: self.clock.sleeper_count >= count)
        await self.clock.advance(0)
        assert self.clock.sleeper_count == count


def sleeping_loop(count: int, limit: str = "") -> str:
    """Return a parallel loop whose iterations each sleep a second."""
    return f"""
    - p:
        parallel:
          {limit}
          for: {{value: v, range: [1, {count}], steps: [{{s: {{call: sys.sleep, args: {{seconds: 1}}}}}}]}}
    - done: {{return: done}}
    """


async def test_twenty_iterations_run_at_a_time() -> None:
    """The twenty-first waits for one to end."""
    running = Running(sleeping_loop(MAX_CONCURRENT_THREADS + 5))

    await running.until_sleeping(MAX_CONCURRENT_THREADS)
    await running.clock.advance(1)
    await running.until_sleeping(5)
    await running.clock.advance(1)

    assert await running.task == "done"


async def test_a_concurrency_limit_bounds_its_step() -> None:
    """Three at a time when three are asked for."""
    running = Running(sleeping_loop(7, "concurrency_limit: 3"))

    await running.until_sleeping(3)
    await running.clock.advance(1)
    await running.until_sleeping(3)
    await running.clock.advance(1)
    await running.until_sleeping(1)
    await running.clock.advance(1)

    assert await running.task == "done"


async def test_nested_iterations_share_the_twenty_slots() -> None:
    """Threads that wait for their own parallel step lend their slots: no starvation, and never more than twenty."""
    running = Running("""
    - p:
        parallel:
          for:
            value: a
            range: [1, 20]
            steps:
              - q: {parallel: {for: {value: b, range: [1, 2], steps: [{s: {call: sys.sleep, args: {seconds: 1}}}]}}}
    - done: {return: done}
    """)

    await running.until_sleeping(MAX_CONCURRENT_THREADS)
    await running.clock.advance(1)
    await running.until_sleeping(MAX_CONCURRENT_THREADS)
    await running.clock.advance(1)

    assert await running.task == "done"


async def test_a_shared_write_is_seen_by_the_other_branch() -> None:
    """One branch waits for what the other sets."""
    running = Running("""
    - init: {assign: [{flag: false}, {seen: null}]}
    - p:
        parallel:
          shared: [flag, seen]
          branches:
            - setter:
                steps:
                  - later: {call: sys.sleep, args: {seconds: 5}}
                  - set: {assign: [{flag: true}]}
            - waiter:
                steps:
                  - poll: {call: sys.sleep, args: {seconds: 1}}
                  - look: {switch: [{condition: '${not flag}', next: poll}]}
                  - keep: {assign: [{seen: '${sys.now()}'}]}
    - done: {return: '${seen}'}
    """)
    started = running.clock.now()

    await running.until_sleeping(2)
    for _ in range(7):
        await running.clock.advance(1)

    assert await running.task in {started + 5, started + 6}


async def test_an_exhausted_limit_in_a_branch_ends_the_execution_at_once() -> None:
    """The other branches do not continue, and nothing outside can catch it."""
    running = Running("""
    - t:
        try:
          steps:
            - p:
                parallel:
                  branches:
                    - sleeper: {steps: [{s: {call: sys.sleep, args: {seconds: 100}}}]}
                    - spinner: {steps: [{a: {next: a}}]}
        except: {as: e, steps: [{r: {return: caught}}]}
    """)

    with pytest.raises(ExecutionFailedError, match="ResourceLimitError"):
        await running.task
    assert running.clock.sleeper_count == 0


async def test_a_failed_branch_does_not_stop_the_others() -> None:
    """The step fails only after the last branch has ended."""
    running = Running("""
    - p:
        parallel:
          branches:
            - sleeper: {steps: [{s: {call: sys.sleep, args: {seconds: 100}}}]}
            - failing: {steps: [{f: {raise: oh}}]}
    """)

    await running.until_sleeping(1)
    assert not running.task.done()
    await running.clock.advance(100)

    with pytest.raises(ExecutionFailedError, match="UnhandledBranchError"):
        await running.task
