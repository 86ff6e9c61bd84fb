"""Workflow values: their types, operators and sizes.

A value is None, bool, int (64-bit signed), float, str, bytes, list or dict with string keys. Values are never changed
in place once they exist: whoever alters a list or map builds a new one. That gives by-value assignment for free.

`bool` is an `int` for Python and is not one here; `type_name` and the exact `type(x) is int` tests below are the only
code that may look at Python types. Does not know about: expressions, variables, JSON text.

Source: https://cloud.google.com/workflows/docs/reference/syntax/datatypes
"""

from __future__ import annotations

from typing import Any

from localcloud.workflows.errors import (
    WorkflowError,
    index_error,
    key_error,
    membership_type_error,
    type_error,
    value_error,
    zero_division_error,
)
from localcloud.workflows.jsontext import format_double

Value = Any
"""A workflow value: None, bool, int (64-bit), float, str, bytes, list or dict with string keys."""

INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**63 - 1

_TYPE_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
}
_MESSAGE_NAMES = {"list": "array", "map": "dict"}


def type_name(value: Value) -> str:
    """Return the name `get_type` gives: integer, double, boolean, string, list, map, bytes or null."""
    return _TYPE_NAMES[type(value)]


def message_type_name(value: Value) -> str:
    """Return the name runtime messages use, where a list is an `array` and a map a `dict`."""
    name = type_name(value)
    return _MESSAGE_NAMES.get(name, name)


def is_number(value: Value) -> bool:
    """Return whether the value is an integer or a double (a boolean is neither)."""
    kind = type(value)
    return kind is int or kind is float


def checked_integer(value: int) -> int:
    """Return the value, or raise ValueError when it does not fit 64 bits."""
    if INTEGER_MIN <= value <= INTEGER_MAX:
        return value
    raise value_error("integer overflow: the result does not fit 64 bits")


def _operand_error(operator: str, left: Value, right: Value) -> WorkflowError:
    return type_error(
        f"unsupported operand type(s) for {operator}: '{message_type_name(left)}' and '{message_type_name(right)}'"
    )


def to_text(value: Value) -> str:
    """Return how a scalar reads when it is joined to a string."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float:
        return format_double(value)
    raise type_error(
        f"unsupported operand type for string(): '{message_type_name(value)}' (expecting number, string, or boolean)"
    )


_JOINABLE = frozenset({str, bool, int, float})


def add(left: Value, right: Value) -> Value:
    """Return `left + right`: a sum of numbers, or text when either side is a string."""
    left_kind, right_kind = type(left), type(right)
    if left_kind is int and right_kind is int:
        return checked_integer(left + right)
    if left_kind is str and right_kind is str:
        return left + right
    if is_number(left) and is_number(right):
        return float(left) + float(right)
    if (left_kind is str and right_kind in _JOINABLE) or (right_kind is str and left_kind in _JOINABLE):
        return to_text(left) + to_text(right)
    raise _operand_error("+", left, right)


def subtract(left: Value, right: Value) -> Value:
    """Return `left - right` of two numbers."""
    if type(left) is int and type(right) is int:
        return checked_integer(left - right)
    if is_number(left) and is_number(right):
        return float(left) - float(right)
    raise _operand_error("-", left, right)


def multiply(left: Value, right: Value) -> Value:
    """Return `left * right` of two numbers."""
    if type(left) is int and type(right) is int:
        return checked_integer(left * right)
    if is_number(left) and is_number(right):
        return float(left) * float(right)
    raise _operand_error("*", left, right)


def divide(left: Value, right: Value) -> float:
    """Return the quotient, which is a double even for integers."""
    if not (is_number(left) and is_number(right)):
        raise _operand_error("/", left, right)
    if right == 0:
        raise zero_division_error()
    return float(left) / float(right)


def floor_divide(left: Value, right: Value) -> Value:
    """Return the quotient rounded down; two integers give an integer, otherwise a double."""
    if not (is_number(left) and is_number(right)):
        raise _operand_error("//", left, right)
    if right == 0:
        raise zero_division_error()
    if type(left) is int and type(right) is int:
        return checked_integer(left // right)
    return float(left) // float(right)


def modulo(left: Value, right: Value) -> Value:
    """Return the remainder of the floor division: its sign is the divisor's (assumed)."""
    if not (is_number(left) and is_number(right)):
        raise _operand_error("%", left, right)
    if right == 0:
        raise zero_division_error()
    if type(left) is int and type(right) is int:
        return left % right
    return float(left) % float(right)


def negate(value: Value) -> Value:
    """Return `-value` of a number."""
    if type(value) is int:
        return checked_integer(-value)
    if type(value) is float:
        return -value
    raise type_error(f"unsupported operand type for unary -: '{message_type_name(value)}'")


def equals(left: Value, right: Value) -> bool:
    """Return whether the values are equal: numbers by magnitude, lists and maps deeply, other types never mix."""
    left_kind, right_kind = type(left), type(right)
    if left_kind is not right_kind:
        return is_number(left) and is_number(right) and bool(left == right)
    if left_kind is list:
        return len(left) == len(right) and all(equals(a, b) for a, b in zip(left, right, strict=True))
    if left_kind is dict:
        return left.keys() == right.keys() and all(equals(item, right[key]) for key, item in left.items())
    return bool(left == right)


def _check_ordered(operator: str, left: Value, right: Value) -> None:
    if not ((is_number(left) and is_number(right)) or (type(left) is str and type(right) is str)):
        raise _operand_error(operator, left, right)


def less(left: Value, right: Value) -> bool:
    """Return `left < right` of two numbers or two strings."""
    _check_ordered("<", left, right)
    return bool(left < right)


def less_or_equal(left: Value, right: Value) -> bool:
    """Return `left <= right` of two numbers or two strings."""
    _check_ordered("<=", left, right)
    return bool(left <= right)


def greater(left: Value, right: Value) -> bool:
    """Return `left > right` of two numbers or two strings."""
    _check_ordered(">", left, right)
    return bool(left > right)


def greater_or_equal(left: Value, right: Value) -> bool:
    """Return `left >= right` of two numbers or two strings."""
    _check_ordered(">=", left, right)
    return bool(left >= right)


def contains(needle: Value, container: Value) -> bool:
    """Return `needle in container`: an equal list element or a map key."""
    if type(container) is dict:
        return _map_key(needle) in container
    if type(container) is list:
        return any(equals(needle, item) for item in container)
    raise membership_type_error(message_type_name(container))


def _map_key(index: Value) -> str | None:
    # Sources may write integer keys (`1: 10`); they are loaded as strings and found again by integer.
    if type(index) is str:
        return str(index)
    return str(index) if type(index) is int else None


def member(container: Value, name: str) -> Value:
    """Return `container.name`.

    Raises:
        WorkflowError: KeyError without such a key, TypeError if the container is not a map.
    """
    if type(container) is not dict:
        raise type_error(f"cannot access key '{name}' of a value of type '{message_type_name(container)}'")
    try:
        return container[name]
    except KeyError:
        raise key_error(name) from None


def element(container: Value, index: Value) -> Value:
    """Return `container[index]` of a list or a map.

    Raises:
        WorkflowError: IndexError, KeyError, or TypeError for a wrong container or kind of index.
    """
    if type(container) is list:
        return container[checked_list_index(container, index)]
    if type(container) is dict:
        return member(container, checked_map_key(index))
    raise type_error(f"cannot index a value of type '{message_type_name(container)}'")


def checked_list_index(container: list[Value], index: Value) -> int:
    """Return a usable index; negative ones do not count from the end."""
    if type(index) is not int:
        raise type_error(f"list index must be an integer; got: {message_type_name(index)}")
    if not 0 <= index < len(container):
        raise index_error()
    return index


def checked_map_key(index: Value) -> str:
    """Return the map key that an index stands for."""
    key = _map_key(index)
    if key is None:
        raise type_error(f"map key must be a string; got: {message_type_name(index)}")
    return key


def checked_boolean(value: Value, what: str) -> bool:
    """Return the boolean, or raise TypeError: there is no truthiness. `what` names the user, e.g. `and`."""
    if type(value) is bool:
        return value
    raise type_error(f"{what} expects a boolean; got: {message_type_name(value)}")
