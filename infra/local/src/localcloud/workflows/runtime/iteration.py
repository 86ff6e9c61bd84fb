"""The values a loop visits: elements of a list, or a range with both ends included.

Source: https://cloud.google.com/workflows/docs/reference/syntax/iteration
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from localcloud.workflows.errors import type_error, value_error
from localcloud.workflows.runtime.evaluation import evaluate
from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.source.steps import For, InList, InRange
from localcloud.workflows.values import Value, is_number, message_type_name

_BOUNDS = 2


@dataclass(frozen=True, slots=True)
class LoopValues:
    """The `count` values of a loop, produced one by one: a long range does not become a list."""

    count: int
    values: Iterator[Value]


async def loop_values(loop: For, scope: Scope) -> LoopValues:
    """Return the loop's values; they are fixed before the first iteration.

    Raises:
        WorkflowError: TypeError for anything but a list, or for a range whose bounds are not numbers.
    """
    match loop.items:
        case InList(items=template):
            items = await evaluate(template, scope)
            if type(items) is not list:
                raise type_error(f"for loop expects a list; got: {message_type_name(items)}")
            return LoopValues(len(items), iter(items))
        case InRange(bounds=template):
            return _range(await evaluate(template, scope))


def _range(bounds: Value) -> LoopValues:
    if type(bounds) is not list or len(bounds) != _BOUNDS:
        raise type_error("range must be a list of two numbers, begin and end")
    for bound in bounds:
        if not is_number(bound):
            raise type_error(f"range bounds must be integers or doubles; got: {message_type_name(bound)}")
        if not math.isfinite(bound):
            raise value_error("range bounds must be finite")
    begin, end = bounds
    count = _count(begin, end)
    # Adding the index, not 1 again and again, keeps doubles exact; the values have begin's type (assumed).
    return LoopValues(count, (begin + index for index in range(count)))


def _count(begin: int | float, end: int | float) -> int:
    if isinstance(begin, int):
        return max(0, math.floor(end) - begin + 1)
    count = max(0, math.floor(end - begin) + 1)
    # The difference of two doubles may be rounded up to the next whole number.
    return count - 1 if count and begin + (count - 1) > end else count
