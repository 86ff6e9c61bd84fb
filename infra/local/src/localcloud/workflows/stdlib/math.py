"""`math`: absolute value, floor, larger and smaller of two.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/math
"""

from __future__ import annotations

import math

from localcloud.workflows.errors import value_error
from localcloud.workflows.functions.arguments import number_of
from localcloud.workflows.functions.signatures import Function, PureFunction, parameters
from localcloud.workflows.values import Value, checked_integer


def _abs(x: Value) -> Value:
    number = number_of("x", x)
    return checked_integer(abs(number)) if isinstance(number, int) else abs(number)


def _floor(x: Value) -> int:
    number = number_of("x", x)
    if not math.isfinite(number):
        raise value_error("math.floor: the number is not finite")
    return checked_integer(math.floor(number))


def _max(x: Value, y: Value) -> Value:
    first, second = _same_kind(x, y)
    return max(first, second)


def _min(x: Value, y: Value) -> Value:
    first, second = _same_kind(x, y)
    return min(first, second)


def _same_kind(x: Value, y: Value) -> tuple[int | float, int | float]:
    """Return both as integers if both are, otherwise both as doubles: so is the documented result."""
    first, second = number_of("x", x), number_of("y", y)
    if isinstance(first, int) and isinstance(second, int):
        return first, second
    return float(first), float(second)


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("math.abs", parameters("x"), _abs),
    PureFunction("math.floor", parameters("x"), _floor),
    PureFunction("math.max", parameters("x", "y"), _max),
    PureFunction("math.min", parameters("x", "y"), _min),
)
