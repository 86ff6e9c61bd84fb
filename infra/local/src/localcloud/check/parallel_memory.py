"""How much memory the threads of a parallel step can hold at once, where it can be bounded.

Each thread has its loop variables and what is assigned inside it; at most 20 run at a time. What comes from outside
(an HTTP answer, an argument) has no bound in the source: it is named, and `--assume NAME=BYTES` gives it one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.check.sizes import Bound, largest, size_of_result, size_of_template
from localcloud.check.step_costs import known_count
from localcloud.check.walk import blocks_of, loop_template, steps_of
from localcloud.workflows.limits import MAX_CONCURRENT_THREADS
from localcloud.workflows.source.steps import (
    Assign,
    Block,
    Call,
    Except,
    For,
    FunctionCallee,
    InRange,
    Parallel,
    Program,
    Routine,
    Step,
    Try,
)

_NUMBER = 8


@dataclass(frozen=True, slots=True)
class ParallelMemory:
    """What the threads of one parallel step hold.

    Attributes:
        routine: where it is.
        step: its name.
        line: of the source.
        threads: how many run at once, at most.
        bytes_at_most: of all variables that have a bound, in all threads together.
        unknown: variables without one, in the order of the source.
    """

    routine: str
    step: str
    line: int
    threads: int
    bytes_at_most: int
    unknown: tuple[str, ...]


def parallel_memory(program: Program, assumed: Mapping[str, int]) -> list[ParallelMemory]:
    """Return the figures of every parallel step; `assumed` gives bytes of variables, also as `ROUTINE.NAME`."""
    return [
        _figures(step, step.action, routine, assumed)
        for routine in program.routines.values()
        for step in steps_of(routine.body)
        if isinstance(step.action, Parallel)
    ]


def _figures(step: Step, action: Parallel, routine: Routine, assumed: Mapping[str, int]) -> ParallelMemory:
    threads = _threads(action)
    outside = _assigned_outside(routine.body, step) | {parameter.name for parameter in routine.parameters}
    shared = outside | set(action.shared)
    own = [name for body in blocks_of(step) for name in _assigned(body) if name not in shared]
    if isinstance(action.work, For):
        own += [action.work.value] if action.work.index is None else [action.work.value, action.work.index]
    least, most = _with_and_without_elements(action, routine, assumed)
    held = 0
    unknown = []
    for name in dict.fromkeys(own):
        smallest, largest_one = least.of(name), most.of(name)
        if smallest is None or largest_one is None:
            unknown.append(name)
        else:
            held += (threads - 1) * smallest + largest_one
    return ParallelMemory(routine.name, step.name, step.position.line, threads, held, tuple(unknown))


def _with_and_without_elements(action: Parallel, routine: Routine, assumed: Mapping[str, int]) -> tuple[_Sizes, _Sizes]:
    """Return the bounds in a thread whose element is empty, and in one whose element is the whole list.

    The elements that are out at one time are different ones, together no more than their list. A bound grows at least
    as fast as what it is made of (it is convex), so all threads together hold most when one has everything.
    """
    sizes = _Sizes(routine, assumed)
    if not isinstance(action.work, For) or isinstance(action.work.items, InRange):
        return sizes, sizes
    value = action.work.value
    items = sizes.of_items(action.work)
    if items is None or value in assumed or f"{routine.name}.{value}" in assumed:
        return sizes, sizes
    return _Sizes(routine, {**assumed, value: 0}), _Sizes(routine, {**assumed, value: items})


def _threads(action: Parallel) -> int:
    most = MAX_CONCURRENT_THREADS
    limit = action.concurrency_limit
    if limit is not None and limit.is_constant and limit.now is not None:
        value = limit.now(None)
        most = min(most, value) if type(value) is int and value > 0 else most
    count = known_count(action.work) if isinstance(action.work, For) else len(action.work)
    return most if count is None else min(most, count)


def _assigned(block: Block) -> list[str]:
    """Return the variables that a block and those inside it make, in the order of the source."""
    names: list[str] = []
    for step in steps_of(block):
        match step.action:
            case Assign(assignments=assignments):
                names += [each.target.name for each in assignments]
            case Call(result=str() as result):
                names.append(result)
            case For() | Parallel(work=For()):
                loop = step.action if isinstance(step.action, For) else step.action.work
                assert isinstance(loop, For)
                names += [loop.value] if loop.index is None else [loop.value, loop.index]
            case Try(handler=Except(error_name=error_name)):
                names.append(error_name)
            case _:
                pass
    return names


def _assigned_outside(block: Block, parallel: Step) -> set[str]:
    """Return the variables that are assigned in a block, but not inside the parallel step."""
    names: set[str] = set()
    for step in block.steps:
        if step is parallel:
            continue
        holds_it = any(inner is parallel for body in blocks_of(step) for inner in steps_of(body))
        if holds_it:
            for body in blocks_of(step):
                names |= _assigned_outside(body, parallel)
        else:
            names |= set(_assigned(Block((step,), {}, frozenset())))
    return names


class _Sizes:
    """Bounds of the variables of one routine: the largest of all that is assigned to them."""

    def __init__(self, routine: Routine, assumed: Mapping[str, int]) -> None:
        self._routine = routine
        self._assumed = assumed
        self._asked: set[str] = set()
        self._steps = tuple(steps_of(routine.body))

    def of(self, name: str) -> Bound:
        """Return a variable's bound; one that is made of itself has none."""
        given = self._assumed.get(f"{self._routine.name}.{name}", self._assumed.get(name))
        if given is not None:
            return given
        if name in self._asked or any(parameter.name == name for parameter in self._routine.parameters):
            return None
        self._asked.add(name)
        found = [bound for step in self._steps for bound in self._given_by(step, name)]
        self._asked.discard(name)
        return largest(found) if found else None

    def of_items(self, loop: For) -> Bound:
        """Return the bound of a loop's list."""
        return size_of_template(loop_template(loop), self.of)

    def _given_by(self, step: Step, name: str) -> list[Bound]:
        match step.action:
            case Assign(assignments=assignments):
                mine = [each for each in assignments if each.target.name == name]
                # An element that is assigned may be added: how often is not known.
                return [None if each.target.path else size_of_template(each.value, self.of) for each in mine]
            case Call(callee=FunctionCallee(function=function), arguments=arguments, result=result) if result == name:
                return [size_of_result(function.name, [size_of_template(each, self.of) for each in arguments])]
            case Call(result=result) if result == name:
                return [None]
            case For() as loop:
                return self._given_by_loop(loop, name)
            case Parallel(work=For() as loop):
                return self._given_by_loop(loop, name)
            case Try(handler=Except(error_name=error_name)) if error_name == name:
                return [None]
            case _:
                return []

    def _given_by_loop(self, loop: For, name: str) -> list[Bound]:
        if name == loop.index or (name == loop.value and isinstance(loop.items, InRange)):
            return [_NUMBER]
        return [self.of_items(loop)] if name == loop.value else []
