"""The expression helpers: conversions, `len`, `keys`, `default`, `if`, `get_type`.

None of them counts toward the step limit. Arguments are evaluated before the call, so `default` and `if` do not
guard against errors in the argument that is not used.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/expression-helpers
"""

from __future__ import annotations

from localcloud.workflows import values
from localcloud.workflows.errors import type_error
from localcloud.workflows.stdlib.arguments import map_of
from localcloud.workflows.stdlib.registry import Function, PureFunction, parameters
from localcloud.workflows.values import Value, message_type_name


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
    PureFunction("int", parameters("x"), values.to_integer, is_counted=False),
    PureFunction("double", parameters("x"), values.to_double, is_counted=False),
    PureFunction("string", parameters("x"), values.to_text, is_counted=False),
    PureFunction("keys", parameters("map"), _keys, is_counted=False),
    PureFunction("len", parameters("value"), _len, is_counted=False),
    PureFunction("default", parameters("value", "default_value"), _default, is_counted=False),
    PureFunction("if", parameters("condition", "if_true", "if_false"), _if, is_counted=False),
    PureFunction("get_type", parameters("value"), values.type_name, is_counted=False),
)
