"""Nodes of a parsed expression; `offset` is where each begins in the text, in characters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, string, boolean or null."""

    value: bool | int | float | str | None
    offset: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable; in the argument position of `retry` also a subworkflow."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Member:
    """`target.key`."""

    target: Node
    key: str
    offset: int


@dataclass(frozen=True, slots=True)
class Index:
    """`target[index]`."""

    target: Node
    index: Node
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """`function(arguments)` of a library function or subworkflow, by its full name such as `text.to_upper`."""

    function: str
    arguments: tuple[Node, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`-operand` or `not operand`."""

    operator: str
    operand: Node
    offset: int


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`; for `and` and `or` the right side may stay unevaluated."""

    operator: str
    left: Node
    right: Node
    offset: int


@dataclass(frozen=True, slots=True)
class ListDisplay:
    """`[a, b]`."""

    items: tuple[Node, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class MapDisplay:
    """`{"key": value}`."""

    entries: tuple[tuple[Node, Node], ...]
    offset: int


Node = Literal | Name | Member | Index | Call | Unary | Binary | ListDisplay | MapDisplay


def children(node: Node) -> tuple[Node, ...]:
    """Return the direct operands in order of evaluation."""
    match node:
        case Literal() | Name():
            return ()
        case Member():
            return (node.target,)
        case Index():
            return (node.target, node.index)
        case Call():
            return node.arguments
        case Unary():
            return (node.operand,)
        case Binary():
            return (node.left, node.right)
        case ListDisplay():
            return node.items
        case MapDisplay():
            return tuple(part for entry in node.entries for part in entry)


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and everything below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def dotted_name(node: Node) -> str | None:
    """Return `a.b.c` for a chain of names, None for anything else."""
    match node:
        case Name():
            return node.name
        case Member():
            prefix = dotted_name(node.target)
            return None if prefix is None else f"{prefix}.{node.key}"
        case _:
            return None
