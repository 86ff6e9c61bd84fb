"""What the standard library offers to a program: signatures with their bodies, retry policies, backoffs.

Argument names are Google's and may be used in `args:`; their order is the positional one. Does not know about: steps
and expressions (they find functions here by name).

Source: https://cloud.google.com/workflows/docs/reference/stdlib/overview
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from localcloud.workflows.values import Value


class _Required:
    """Marks a parameter without a default."""

    __slots__ = ()


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function.

    `is_emulated` is False for arguments that exist in production and that localcloud refuses at deploy.
    """

    name: str
    default: Value = field(default=REQUIRED)
    is_emulated: bool = True

    @property
    def is_required(self) -> bool:
        """Return whether a call must give it."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class PureFunction:
    """A function of its arguments alone. `is_counted` tells whether a call counts toward the step limit."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Callable[..., Value]
    is_counted: bool = True


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A function that asks the host (time, environment, callbacks) but never waits."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Callable[..., Value]


@dataclass(frozen=True, slots=True)
class BlockingFunction:
    """A function that may wait: callable from a call step only."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Callable[..., Awaitable[Value]]


Function = PureFunction | HostFunction | BlockingFunction


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between retries: `initial_delay` seconds, multiplied each time, at most `max_delay` seconds."""

    initial_delay: float
    max_delay: float
    multiplier: float


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A ready-made value of `retry`; `predicate` names a function of this library."""

    predicate: str
    max_retries: int
    backoff: Backoff


@dataclass(frozen=True, slots=True)
class Library:
    """All that programs can refer to, by full name."""

    functions: Mapping[str, Function]
    policies: Mapping[str, RetryPolicy]
    backoffs: Mapping[str, Backoff]


def parameters(*names: str, **defaults: Value) -> tuple[Parameter, ...]:
    """Return required parameters followed by optional ones.

    Example: `parameters("name", default=None)` for `sys.get_env(name, default=null)`.
    """
    return (*(Parameter(name) for name in names), *(Parameter(name, value) for name, value in defaults.items()))


def by_name(functions: Iterable[Function]) -> dict[str, Function]:
    """Return the functions keyed by name; a repeated name is a bug of the library."""
    table: dict[str, Function] = {}
    for function in functions:
        assert function.name not in table, function.name
        table[function.name] = function
    return table
