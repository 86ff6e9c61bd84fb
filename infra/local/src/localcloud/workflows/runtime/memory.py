"""Memory accounting by the documented rule, and the limits on it.

A number or boolean takes 8 bytes, a string or bytes 8 plus its length, a list 8 plus its elements, a map 8 plus its
keys and values. Null is not in the rule and is counted as 8 (assumed).

Source: https://cloud.google.com/workflows/docs/reference/syntax/variables (memory)
"""

from __future__ import annotations

from localcloud.workflows.errors import resource_limit_error
from localcloud.workflows.jsontext import MAX_DEPTH
from localcloud.workflows.limits import MAX_MEMORY_BYTES, MAX_STRING_BYTES
from localcloud.workflows.values import Value

_BASE_BYTES = 8
NUMBER_BYTES = _BASE_BYTES


def size_of(value: Value, depth: int = 0) -> int:
    """Return the bytes a value counts for.

    Raises:
        WorkflowError: ResourceLimitError for a string that is too long or for endless nesting.
    """
    kind = type(value)
    if kind is str:
        length = len(value) if value.isascii() else len(value.encode())
        if length > MAX_STRING_BYTES:
            raise resource_limit_error(f"string is longer than {MAX_STRING_BYTES} bytes")
        return _BASE_BYTES + length
    if kind is list or kind is dict:
        if depth >= MAX_DEPTH:
            raise resource_limit_error(f"value is nested deeper than {MAX_DEPTH} levels")
        total = _BASE_BYTES
        if kind is list:
            for item in value:
                total += size_of(item, depth + 1)
            return total
        for key, item in value.items():
            total += _BASE_BYTES + (len(key) if key.isascii() else len(key.encode())) + size_of(item, depth + 1)
        return total
    if kind is bytes:
        return _BASE_BYTES + len(value)
    return _BASE_BYTES


def size_after(old: Value, old_size: int, new: Value) -> int:
    """Return the size of `new`, quickly when it is the list `old` (of `old_size` bytes) with elements added at an end.

    A list is built element by element, and measuring all of it each time would take quadratic time. Comparing lists
    is some ten times faster than measuring them, since it stays in C and looks at identities first.
    """
    if type(new) is list and type(old) is list and 0 < len(old) < len(new):
        if new[: len(old)] == old:
            return old_size + sum(size_of(item, 1) for item in new[len(old) :])
        if new[-len(old) :] == old:
            return old_size + sum(size_of(item, 1) for item in new[: -len(old)])
    return size_of(new)


class MemoryMeter:
    """The bytes held by all variables of one execution."""

    __slots__ = ("used_bytes",)

    def __init__(self) -> None:
        self.used_bytes = 0

    def change(self, delta_bytes: int) -> None:
        """Account for variables that grew or shrank.

        Raises:
            WorkflowError: ResourceLimitError, uncatchable, beyond the limit.
        """
        self.used_bytes += delta_bytes
        if self.used_bytes > MAX_MEMORY_BYTES and delta_bytes > 0:
            raise resource_limit_error("Memory usage limit exceeded")
