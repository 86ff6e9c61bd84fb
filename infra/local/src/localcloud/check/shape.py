"""The shape of a program: how many steps, how wide and deep its parallel steps are, who calls whom.

What must fail at run time is told as a problem: nesting and call depth that are over the limits wherever they go.
"""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.check.walk import blocks_of, routines_called, steps_of
from localcloud.workflows.limits import MAX_CALL_DEPTH, MAX_PARALLEL_DEPTH
from localcloud.workflows.source.steps import Block, Parallel, Program


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
    calls = {
        name: {called for step in steps_of(routine.body) for called in routines_called(step)} & program.routines.keys()
        for name, routine in program.routines.items()
    }
    reachable = {name: _reachable(name, calls) for name in calls}
    recursive = tuple(sorted(name for name, others in reachable.items() if name in others))
    in_use = {"main", *reachable["main"]}
    call_depth = None if in_use & set(recursive) else _call_depth("main", calls)
    parallel_depth = _parallel_depth(program.main.body, program, frozenset({"main"}))
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


def _reachable(name: str, calls: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = calls[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _call_depth(name: str, calls: dict[str, set[str]]) -> int:
    return 1 + max((_call_depth(called, calls) for called in calls[name]), default=0)


def _parallel_depth(block: Block, program: Program, callers: frozenset[str]) -> int:
    depth = 0
    for step in block.steps:
        own = 1 if isinstance(step.action, Parallel) else 0
        inner = max((_parallel_depth(body, program, callers) for body in blocks_of(step)), default=0)
        depth = max(depth, own + inner)
        for name in routines_called(step):
            # A routine that calls itself is followed once: each further round may nest as deep again.
            if name in program.routines and name not in callers:
                depth = max(depth, _parallel_depth(program.routines[name].body, program, callers | {name}))
    return depth
