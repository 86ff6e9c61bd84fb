"""The state of one execution that all of its threads share: counters, memory, slots, the host.

An `Activation` is one call of a routine on one thread. Does not know about: steps and scopes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from localcloud.workflows.errors import parallel_nesting_error, recursion_error, resource_limit_error
from localcloud.workflows.limits import (
    MAX_CALL_DEPTH,
    MAX_CONCURRENT_THREADS,
    MAX_PARALLEL_DEPTH,
    MAX_STEPS,
    MAX_UNHANDLED_EXCEPTIONS,
)
from localcloud.workflows.runtime.host import Host
from localcloud.workflows.runtime.memory import MemoryMeter
from localcloud.workflows.source.steps import Program
from localcloud.workflows.values import Value

STEPS_BETWEEN_YIELDS = 500
"""How many steps an execution may take before others get a turn on the event loop."""

MAIN_THREAD = "main"


class Run:
    """A program on its way from its start to its end, with what all of its threads share."""

    __slots__ = ("_next_yield", "_unhandled_count", "host", "memory", "program", "slots", "step_count")

    def __init__(self, program: Program, host: Host) -> None:
        self.program = program
        self.host = replace(host, count_step=self.count_step)
        self.memory = MemoryMeter()
        self.step_count = 0
        self.slots = asyncio.Semaphore(MAX_CONCURRENT_THREADS)
        """Branches and iterations that run; the others wait for one to end."""
        self._next_yield = STEPS_BETWEEN_YIELDS
        self._unhandled_count = 0

    def count_step(self) -> None:
        """Count one step.

        Raises:
            WorkflowError: ResourceLimitError, uncatchable, beyond the limit.
        """
        self.step_count += 1
        if self.step_count > MAX_STEPS:
            raise resource_limit_error(f"step limit exceeded: more than {MAX_STEPS} steps")

    def is_turn_over(self) -> bool:
        """Return, once every `STEPS_BETWEEN_YIELDS` steps, that other executions should get a turn."""
        if self.step_count < self._next_yield:
            return False
        self._next_yield = self.step_count + STEPS_BETWEEN_YIELDS
        return True

    def may_keep_exception(self) -> bool:
        """Count an unhandled exception of a parallel step; return whether the limit leaves room to report it."""
        self._unhandled_count += 1
        return self._unhandled_count <= MAX_UNHANDLED_EXCEPTIONS


@dataclass(frozen=True, slots=True)
class Result:
    """What `main` returned, and the same as JSON text."""

    value: Value
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """One call of a routine, on one thread. Compared by identity: error frames are added once per activation."""

    run: Run
    routine: str
    thread: str = MAIN_THREAD
    call_depth: int = 1
    parallel_depth: int = 0

    def for_call(self, routine: str) -> Activation:
        """Return the activation of a routine called from this one.

        Raises:
            WorkflowError: RecursionError when the call stack is too deep.
        """
        if self.call_depth >= MAX_CALL_DEPTH:
            raise recursion_error(MAX_CALL_DEPTH)
        return replace(self, routine=routine, call_depth=self.call_depth + 1)

    def for_thread(self, name: str) -> Activation:
        """Return the activation of a branch or iteration started from this one."""
        return replace(self, thread=f"{self.thread}/{name}", parallel_depth=self.parallel_depth + 1)

    def check_may_nest_parallel(self) -> None:
        """Refuse a parallel step that is nested too deeply.

        Raises:
            WorkflowError: ParallelNestingError.
        """
        if self.parallel_depth >= MAX_PARALLEL_DEPTH:
            raise parallel_nesting_error(MAX_PARALLEL_DEPTH)
