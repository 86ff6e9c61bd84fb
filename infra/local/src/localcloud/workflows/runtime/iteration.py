"""The values a loop visits: elements of a list, or a range with both ends included.

Source: https://cloud.google.com/workflows/docs/reference/syntax/iteration
"""

from __future__ import annotations

from collections.abc import Iterator

from localcloud.workflows.errors import type_error
from localcloud.workflows.runtime.evaluation import evaluate
from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.source.steps import For, InList, InRange
from localcloud.workflows.values import Value, is_number, message_type_name

_BOUNDS = 2


async def loop_values(loop: For, scope: Scope) -> Iterator[Value]:
    """Return the loop's values; they are fixed before the first iteration.

    Raises:
        WorkflowError: TypeError for anything but a list, or for a range whose bounds are not numbers.
    """
    match loop.items:
        case InList(items=template):
            items = await evaluate(template, scope)
            if type(items) is not list:
                raise type_error(f"for loop expects a list; got: {message_type_name(items)}")
            return iter(items)
        case InRange(bounds=template):
            return _range(await evaluate(template, scope))


def _range(bounds: Value) -> Iterator[Value]:
    if type(bounds) is not list or len(bounds) != _BOUNDS:
        raise type_error("range must be a list of two numbers, begin and end")
    begin, end = bounds
    for bound in bounds:
        if not is_number(bound):
            raise type_error(f"range bounds must be integers or doubles; got: {message_type_name(bound)}")
    return _count(begin, end)


def _count(begin: int | float, end: int | float) -> Iterator[Value]:
    # Adding the step count, not 1 again and again, keeps doubles exact; the values have begin's type (assumed).
    visited = 0
    while begin + visited <= end:
        yield begin + visited
        visited += 1
