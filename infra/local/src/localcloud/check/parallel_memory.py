"""How much memory the threads of a parallel step can hold at once, where it can be bounded.

Each thread has its loop variables and what is assigned inside it; at most 20 run at a time. What comes from outside
(an HTTP answer, an argument) has no bound in the source: it is named, and `--assume NAME=BYTES` gives it one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from localcloud.check.calls import depth_first
from localcloud.check.sizes import Bound, largest, size_of_result, size_of_template
from localcloud.check.step_costs import known_count
from localcloud.check.walk import blocks_of, loop_template, steps_of
from localcloud.workflows.expr.nodes import Name, walk
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
from localcloud.workflows.source.templates import Template

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
    found: list[ParallelMemory] = []
    for routine in program.routines.values():
        givers = _Givers(routine)
        sizes = _Sizes(givers, assumed)
        assigned = Counter(_assigned(routine.body))
        found += [
            _figures(step, step.action, sizes, givers, assigned, assumed)
            for step in steps_of(routine.body)
            if isinstance(step.action, Parallel)
        ]
    return found


def _figures(
    step: Step,
    action: Parallel,
    sizes: _Sizes,
    givers: _Givers,
    assigned: Counter[str],
    assumed: Mapping[str, int],
) -> ParallelMemory:
    threads = _threads(action)
    inside = [name for body in blocks_of(step) for name in _assigned(body)]
    here = Counter(inside)
    if isinstance(action.work, For):
        here.update(_loop_variables(action.work))
    # A variable that is assigned outside, too, is not the threads' own.
    own = [
        name
        for name in inside
        if assigned[name] == here[name] and name not in givers.parameters and name not in action.shared
    ]
    if isinstance(action.work, For):
        own += _loop_variables(action.work)
    least, most = _with_and_without_elements(action, sizes, givers, assumed)
    held = 0
    unknown = []
    for name in dict.fromkeys(own):
        smallest, largest_one = least.of(name), most.of(name)
        if smallest is None or largest_one is None:
            unknown.append(name)
        else:
            held += (threads - 1) * smallest + largest_one
    return ParallelMemory(givers.routine.name, step.name, step.position.line, threads, held, tuple(unknown))


def _with_and_without_elements(
    action: Parallel, sizes: _Sizes, givers: _Givers, assumed: Mapping[str, int]
) -> tuple[_Sizes, _Sizes]:
    """Return the bounds in a thread whose element is empty, and in one whose element is the whole list.

    The elements that are out at one time are different ones, together no more than their list. A bound grows at least
    as fast as what it is made of (it is convex), so all threads together hold most when one has everything.
    """
    if not isinstance(action.work, For) or isinstance(action.work.items, InRange):
        return sizes, sizes
    value = action.work.value
    items = sizes.of_items(action.work)
    if items is None or value in assumed or f"{givers.routine.name}.{value}" in assumed:
        return sizes, sizes
    return _Sizes(givers, {**assumed, value: 0}), _Sizes(givers, {**assumed, value: items})


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
                names += _loop_variables(loop)
            case Try(handler=Except(error_name=error_name)):
                names.append(error_name)
            case _:
                pass
    return names


def _loop_variables(loop: For) -> list[str]:
    return [loop.value] if loop.index is None else [loop.value, loop.index]


class _Givers:
    """What gives the variables of one routine their values, by their names."""

    def __init__(self, routine: Routine) -> None:
        self.routine = routine
        self.parameters = frozenset(parameter.name for parameter in routine.parameters)
        self._bounds: dict[str, list[Callable[[Callable[[str], Bound]], Bound]]] = {}
        self.made_of: dict[str, list[str]] = {}
        """Name to the names of the variables in what is assigned to it."""
        for step in steps_of(routine.body):
            self._read(step)

    def bounds(self, name: str, of: Callable[[str], Bound]) -> list[Bound]:
        """Return the bounds of all that is assigned to a variable; `of` gives those of others."""
        return [bound(of) for bound in self._bounds.get(name, ())]

    def _read(self, step: Step) -> None:
        match step.action:
            case Assign(assignments=assignments):
                for each in assignments:
                    if each.target.path:
                        # An element that is assigned may be added: how often is not known.
                        self._add(each.target.name, lambda _: None)
                    else:
                        self._add(each.target.name, partial(size_of_template, each.value), each.value)
            case Call(callee=FunctionCallee(function=function), arguments=arguments, result=str() as result):
                self._add(
                    result,
                    lambda of: size_of_result(function.name, [size_of_template(each, of) for each in arguments]),
                    *arguments,
                )
            case Call(result=str() as result):
                self._add(result, lambda _: None)
            case For() as loop:
                self._read_loop(loop)
            case Parallel(work=For() as loop):
                self._read_loop(loop)
            case Try(handler=Except(error_name=error_name)):
                self._add(error_name, lambda _: None)
            case _:
                pass

    def _read_loop(self, loop: For) -> None:
        if loop.index is not None:
            self._add(loop.index, lambda _: _NUMBER)
        if isinstance(loop.items, InRange):
            self._add(loop.value, lambda _: _NUMBER)
        else:
            items = loop_template(loop)
            self._add(loop.value, lambda of: size_of_template(items, of), items)

    def _add(self, name: str, bound: Callable[[Callable[[str], Bound]], Bound], *values: Template) -> None:
        self._bounds.setdefault(name, []).append(bound)
        names = self.made_of.setdefault(name, [])
        for value in values:
            names += [node.name for each in value.expressions for node in walk(each.node) if isinstance(node, Name)]


class _Sizes:
    """Bounds of the variables of one routine: the largest of all that is assigned to them."""

    def __init__(self, givers: _Givers, assumed: Mapping[str, int]) -> None:
        self._givers = givers
        self._assumed = assumed
        self._known: dict[str, Bound] = {}

    def of(self, name: str) -> Bound:
        """Return a variable's bound; one that is made of itself has none."""
        if name not in self._known:
            for each, is_entered in depth_first(self._givers.made_of, [name]):
                if not is_entered and each not in self._known:
                    self._known[each] = self._bound(each)
        return self._known[name]

    def of_items(self, loop: For) -> Bound:
        """Return the bound of a loop's list."""
        return size_of_template(loop_template(loop), self.of)

    def _bound(self, name: str) -> Bound:
        given = self._assumed.get(f"{self._givers.routine.name}.{name}", self._assumed.get(name))
        if given is not None:
            return given
        if name in self._givers.parameters:
            return None
        # A variable that is not known by now is made of this one.
        found = self._givers.bounds(name, self._known.get)
        return largest(found) if found else None
