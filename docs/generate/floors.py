"""Draws the floors of a package from its imports, as Mermaid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set
from functools import cache

import grimp

PACKAGES = ("chassis", "ingest", "compressor", "reporter", "localcloud")


def picture(package: str) -> str:
    """Return a flowchart of the parts of a package: an arrow means that a module of the one imports one of the other.

    An arrow that follows from two others is left out. Parts with the same arrows share a box.
    """
    arrows = shortest(part_imports(package))
    boxes = _boxes(arrows)
    box_of = {part: number for number, parts in enumerate(boxes) for part in parts}
    lines = [f'  p{number}["{"<br>".join(parts)}"]' for number, parts in enumerate(boxes)]
    drawn = {(box_of[source], box_of[target]) for source, targets in arrows.items() for target in targets}
    lines += [f"  p{source} --> p{target}" for source, target in sorted(drawn) if source != target]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def part_imports(package: str) -> dict[str, set[str]]:
    """Return the direct children of a package, each with the others that it imports anything of."""
    graph = _graph()
    parts = {child: child.removeprefix(f"{package}.") for child in graph.find_children(package)}
    found: dict[str, set[str]] = {name: set() for name in sorted(parts.values())}
    for child, name in parts.items():
        for module in {child} | graph.find_descendants(child):
            for imported in graph.find_modules_directly_imported_by(module):
                target = ".".join(imported.split(".")[: package.count(".") + 2])
                if target in parts and target != child:
                    found[name].add(parts[target])
    return found


def shortest(imports: Mapping[str, Set[str]]) -> dict[str, set[str]]:
    """Return the same order with as few arrows as say it; circles are left as they are."""
    reach = {part: _reached(part, imports) for part in imports}
    return {
        part: {
            target
            for target in targets
            if not any(
                target in reach[other] and part not in reach[other] for other in targets - reach[target] - {target}
            )
        }
        for part, targets in imports.items()
    }


def _reached(part: str, imports: Mapping[str, Set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [part]
    while waiting:
        for target in imports[waiting.pop()] - found:
            found.add(target)
            waiting.append(target)
    return found


def _boxes(arrows: Mapping[str, Set[str]]) -> list[list[str]]:
    users: dict[str, set[str]] = defaultdict(set)
    for source, targets in arrows.items():
        for target in targets:
            users[target].add(source)
    alike: dict[tuple[frozenset[str], frozenset[str]], list[str]] = defaultdict(list)
    for part in arrows:
        alike[frozenset(arrows[part]), frozenset(users[part])].append(part)
    return list(alike.values())


@cache
def _graph() -> grimp.ImportGraph:
    first, *others = PACKAGES
    return grimp.build_graph(first, *others, cache_dir=None)
