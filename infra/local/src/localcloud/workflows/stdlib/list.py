"""`list`: copies of lists with one more element.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/list
"""

from __future__ import annotations

from localcloud.workflows.functions.arguments import list_of
from localcloud.workflows.functions.signatures import Function, PureFunction, parameters
from localcloud.workflows.values import Value


def _concat(objs: Value, val: Value) -> list[Value]:
    return [*list_of("objs", objs), val]


def _prepend(objs: Value, val: Value) -> list[Value]:
    return [val, *list_of("objs", objs)]


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("list.concat", parameters("objs", "val"), _concat),
    PureFunction("list.prepend", parameters("objs", "val"), _prepend),
)
