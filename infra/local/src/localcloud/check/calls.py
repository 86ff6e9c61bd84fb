"""Which routines of a program call which, and a walk over such a graph whose depth no program can exhaust."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from localcloud.check.walk import routines_called, steps_of
from localcloud.workflows.source.steps import Program

Graph = Mapping[str, Sequence[str]]
"""Name to the names that it leads to, each once, in the order of the source."""


def calls_of(program: Program) -> dict[str, list[str]]:
    """Return the routines that each routine calls."""
    return {
        name: list(
            dict.fromkeys(
                called
                for step in steps_of(routine.body)
                for called in routines_called(step)
                if called in program.routines
            )
        )
        for name, routine in program.routines.items()
    }


def depth_first(graph: Graph, starts: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield each name that can be reached twice: with True before the names that it leads to, with False after them."""
    seen: set[str] = set()
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        yield start, True
        waiting = [(start, iter(graph.get(start, ())))]
        while waiting:
            name, following = waiting[-1]
            found = next((each for each in following if each not in seen), None)
            if found is None:
                waiting.pop()
                yield name, False
            else:
                seen.add(found)
                yield found, True
                waiting.append((found, iter(graph.get(found, ()))))


def reachable(graph: Graph, start: str) -> set[str]:
    """Return the names that can be reached, `start` among them."""
    return {name for name, is_entered in depth_first(graph, [start]) if is_entered}


def on_cycles(graph: Graph) -> set[str]:
    """Return the names that lead back to themselves."""
    left = [name for name, is_entered in depth_first(graph, graph) if not is_entered]
    backwards: dict[str, list[str]] = {name: [] for name in graph}
    for name, following in graph.items():
        for each in following:
            backwards[each].append(name)
    found: set[str] = set()
    # Kosaraju: backwards from the last name that was left, each walk stays within names that lead to one another.
    group: list[str] = []
    for name, is_entered in depth_first(backwards, reversed(left)):
        if is_entered:
            group.append(name)
        elif name == group[0]:
            found |= set(group) if len(group) > 1 or name in graph[name] else set()
            group = []
    return found
