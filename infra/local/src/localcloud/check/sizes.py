"""How large a value can get, where the source tells: a bound in bytes by the documented rule, or None.

A part of a value is never larger than the whole, a comparison is a boolean, text that was not seen before is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from localcloud.workflows.expr.nodes import (
    Binary,
    Call,
    Index,
    ListDisplay,
    Literal,
    MapDisplay,
    Member,
    Name,
    Node,
    Unary,
    children,
)
from localcloud.workflows.runtime.memory import size_of
from localcloud.workflows.source.templates import SourceExpression, Template

Bound = int | None
"""Bytes at most, None when nothing is known."""

SizeOfVariable = Callable[[str], Bound]

_NUMBER = 8
_CONTAINER = 8
_SHORT_TEXT = 8 + 64

_SMALL_RESULTS = {
    "len": _NUMBER,
    "int": _NUMBER,
    "double": _NUMBER,
    "sys.now": _NUMBER,
    "time.parse": _NUMBER,
    "math.abs": _NUMBER,
    "math.floor": _NUMBER,
    "math.max": _NUMBER,
    "math.min": _NUMBER,
    "get_type": _SHORT_TEXT,
    "uuid.generate": _SHORT_TEXT,
    "time.format": _SHORT_TEXT,
    "text.match_regex": _NUMBER,
    "sys.get_env": 8 + 4096,
}
"""Function to the largest size of its result; an environment variable holds 4 KiB at most."""

_PARTS = frozenset({"default", "map.get", "text.substring", "list.prepend", "list.concat", "keys"})
"""Functions whose result is made of their arguments' parts only, and not larger than all of them together."""


def largest(bounds: Sequence[Bound]) -> Bound:
    """Return the largest bound; None when one is unknown."""
    return None if any(bound is None for bound in bounds) else max((b for b in bounds if b is not None), default=0)


def total(bounds: Sequence[Bound]) -> Bound:
    """Return the sum of bounds; None when one is unknown."""
    return None if any(bound is None for bound in bounds) else sum(bound for bound in bounds if bound is not None)


def size_of_template(template: Template, variables: SizeOfVariable) -> Bound:
    """Return a bound of what a value evaluates to."""
    if template.is_constant and template.now is not None:
        return size_of(template.now(None))
    match template.expressions:
        case (SourceExpression(node=node, position=position),) if position == template.position:
            return size_of_node(node, variables)
    # A list or map with expressions inside: how its literal parts lie around them is compiled away.
    return None


def size_of_node(node: Node, variables: SizeOfVariable) -> Bound:
    """Return a bound of what an expression evaluates to."""
    match node:
        case Literal(value=value):
            return size_of(value)
        case Name(name=name):
            return variables(name)
        case Member(target=target) | Index(target=target):
            return size_of_node(target, variables)
        case Unary():
            return _NUMBER
        case Binary(operator="+", left=left, right=right):
            return total([size_of_node(left, variables), size_of_node(right, variables)])
        case Binary():
            return _NUMBER
        case ListDisplay() | MapDisplay():
            inner = total([size_of_node(child, variables) for child in children(node)])
            return None if inner is None else inner + _CONTAINER
        case Call(function=function, arguments=arguments):
            return size_of_result(function, [size_of_node(each, variables) for each in arguments])


def size_of_result(function: str, arguments: Sequence[Bound]) -> Bound:
    """Return a bound of what a function returns, given those of its arguments."""
    if function in _SMALL_RESULTS:
        return _SMALL_RESULTS[function]
    return total(arguments) if function in _PARTS else None
