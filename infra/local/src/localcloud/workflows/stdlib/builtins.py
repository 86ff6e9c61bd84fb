"""The expression helpers: conversions, `len`, `keys`, `default`, `if`, `get_type`.

None of them counts toward the step limit. Arguments are evaluated before the call, so `default` and `if` do not
guard against errors in the argument that is not used.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/expression-helpers
"""

from __future__ import annotations

import math

from localcloud.workflows import values
from localcloud.workflows.errors import type_error, value_error
from localcloud.workflows.functions.arguments import map_of
from localcloud.workflows.functions.signatures import Function, PureFunction, parameters
from localcloud.workflows.jsontext import format_double
from localcloud.workflows.values import Value, message_type_name


def to_integer(value: Value) -> int:
    """Return what `int()` gives: doubles are truncated, strings parsed as decimal."""
    match value:
        case bool():
            pass
        case int():
            return value
        case float():
            if not math.isfinite(value):
                raise value_error(f"cannot convert {format_double(value)} to an integer")
            return values.checked_integer(int(value))
        case str():
            try:
                return values.checked_integer(_parse_integer(value))
            except ValueError:
                raise value_error(f"invalid literal for int(): '{value}'") from None
    raise type_error(f"unsupported operand type for int(): '{message_type_name(value)}' (expecting number or string)")


def to_double(value: Value) -> float:
    """Return what `double()` gives."""
    match value:
        case bool():
            pass
        case int() | float():
            return float(value)
        case str():
            try:
                return _parse_double(value)
            except ValueError:
                raise value_error(f"invalid literal for double(): '{value}'") from None
    raise type_error(
        f"unsupported operand type for double(): '{message_type_name(value)}' (expecting number or string)"
    )


def _parse_integer(text: str) -> int:
    # Python's int() also takes underscores, other alphabets' digits and thousands of digits.
    if len(text) > 20 or not text.isascii() or "_" in text or text != text.strip():
        raise ValueError(text)
    return int(text)


def _parse_double(text: str) -> float:
    if not text.isascii() or "_" in text or text != text.strip():
        raise ValueError(text)
    return float(text)


def _keys(entries: Value) -> list[Value]:
    return list(map_of("map", entries))


def _len(value: Value) -> int:
    if type(value) in (str, list, dict):
        return len(value)
    raise type_error(f"len() expects a list, map or string; got: {message_type_name(value)}")


def _default(value: Value, fallback: Value) -> Value:
    return fallback if value is None else value


def _if(condition: Value, when_true: Value, when_false: Value) -> Value:
    # A null condition counts as false; anything but booleans and null is refused.
    if condition is None:
        return when_false
    return when_true if values.checked_boolean(condition, "if()") else when_false


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("int", parameters("x"), to_integer, is_counted=False),
    PureFunction("double", parameters("x"), to_double, is_counted=False),
    PureFunction("string", parameters("x"), values.to_text, is_counted=False),
    PureFunction("keys", parameters("map"), _keys, is_counted=False),
    PureFunction("len", parameters("value"), _len, is_counted=False),
    PureFunction("default", parameters("value", "default_value"), _default, is_counted=False),
    PureFunction("if", parameters("condition", "if_true", "if_false"), _if, is_counted=False),
    PureFunction("get_type", parameters("value"), values.type_name, is_counted=False),
)
