"""The shape of a program: how many steps, how wide and deep its parallel steps are, who calls whom.

What must fail at run time is told as a problem: nesting and call depth that are over the limits wherever they go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.check.calls import Graph, calls_of, depth_first, on_cycles, reachable
from localcloud.check.walk import blocks_of, routines_called, steps_of
from localcloud.workflows.limits import MAX_CALL_DEPTH, MAX_PARALLEL_DEPTH
from localcloud.workflows.source.steps import Block, Parallel, Program

_MAIN = "main"


@dataclass(frozen=True, slots=True)
class Shape:
    """Figures of a program.

    Attributes:
        steps: named steps of all routines.
        routines: how many, `main` included.
        most_branches: of the widest parallel step, 0 without any.
        parallel_depth: how deeply parallel steps nest, through calls too.
        call_depth: the longest chain of calls, `main` alone is 1; None when a routine calls itself.
        recursive: routines that call themselves, directly or through others.
        problems: what must fail when it is reached.
    """

    steps: int
    routines: int
    most_branches: int
    parallel_depth: int
    call_depth: int | None
    recursive: tuple[str, ...]
    problems: tuple[str, ...]


def shape(program: Program) -> Shape:
    """Return the figures."""
    steps = [step for routine in program.routines.values() for step in steps_of(routine.body)]
    branches = [
        len(step.action.work)
        for step in steps
        if isinstance(step.action, Parallel) and isinstance(step.action.work, tuple)
    ]
    calls = calls_of(program)
    recursive = tuple(sorted(on_cycles(calls)))
    call_depth = None if reachable(calls, _MAIN) & set(recursive) else _call_depth(calls)
    parallel_depth = _parallel_depth(program, calls)
    problems = []
    if parallel_depth > MAX_PARALLEL_DEPTH:
        problems.append(f"parallel steps nest {parallel_depth} deep; the limit is {MAX_PARALLEL_DEPTH}")
    if call_depth is not None and call_depth > MAX_CALL_DEPTH:
        problems.append(f"calls nest {call_depth} deep; the limit is {MAX_CALL_DEPTH}")
    return Shape(
        steps=sum(step.is_named for step in steps),
        routines=len(program.routines),
        most_branches=max(branches, default=0),
        parallel_depth=parallel_depth,
        call_depth=call_depth,
        recursive=recursive,
        problems=tuple(problems),
    )


def _call_depth(calls: Graph) -> int:
    """Return how many routines are on the call stack at most, when none calls itself."""
    depths: dict[str, int] = {}
    for name, is_entered in depth_first(calls, [_MAIN]):
        if not is_entered:
            depths[name] = 1 + max((depths[called] for called in calls[name]), default=0)
    return depths[_MAIN]


def _parallel_depth(program: Program, calls: Graph) -> int:
    """Return how deep parallel steps nest; a routine that calls itself is followed once, as each round adds as many."""
    depths: dict[str, int] = {}
    for name, is_entered in depth_first(calls, [_MAIN]):
        if not is_entered:
            depths[name] = _depth_of(program.routines[name].body, depths)
    return depths[_MAIN]


def _depth_of(block: Block, depths: Mapping[str, int]) -> int:
    depth = 0
    for step in block.steps:
        own = 1 if isinstance(step.action, Parallel) else 0
        inner = max((_depth_of(body, depths) for body in blocks_of(step)), default=0)
        called = max((depths.get(name, 0) for name in routines_called(step)), default=0)
        depth = max(depth, own + inner, called)
    return depth
