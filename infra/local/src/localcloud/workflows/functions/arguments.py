"""Checks of argument types, shared by the library's modules: a wrong type is the workflow's TypeError.

Does not know about: the functions that use it; each passes the argument's name for the message.
"""

from __future__ import annotations

from localcloud.workflows.errors import WorkflowError, type_error
from localcloud.workflows.values import Value, is_number, message_type_name


def wrong_type(name: str, value: Value, expected: str) -> WorkflowError:
    """Return the TypeError of an argument; `expected` reads like `a string`."""
    return type_error(f"argument '{name}' must be {expected}; got: {message_type_name(value)}")


def text_of(name: str, value: Value) -> str:
    """Return a string argument."""
    if type(value) is not str:
        raise wrong_type(name, value, "a string")
    return str(value)


def bytes_of(name: str, value: Value) -> bytes:
    """Return a bytes argument."""
    if type(value) is not bytes:
        raise wrong_type(name, value, "bytes")
    return bytes(value)


def boolean_of(name: str, value: Value) -> bool:
    """Return a boolean argument."""
    if type(value) is not bool:
        raise wrong_type(name, value, "a boolean")
    return bool(value)


def integer_of(name: str, value: Value) -> int:
    """Return an integer argument; a boolean is none."""
    if type(value) is not int:
        raise wrong_type(name, value, "an integer")
    return value


def number_of(name: str, value: Value) -> int | float:
    """Return a number argument; a boolean is none."""
    if not is_number(value):
        raise wrong_type(name, value, "a number")
    number: int | float = value
    return number


def list_of(name: str, value: Value) -> list[Value]:
    """Return a list argument."""
    if type(value) is not list:
        raise wrong_type(name, value, "a list")
    items: list[Value] = value
    return items


def map_of(name: str, value: Value) -> dict[str, Value]:
    """Return a map argument."""
    if type(value) is not dict:
        raise wrong_type(name, value, "a map")
    entries: dict[str, Value] = value
    return entries
