"""The steps of a program: one frozen dataclass per kind of action, blocks, endings and routines.

A step has at most one action and at most one ending (`next`, `return`, `raise`), which follows the action. Everything
an action needs is checked and compiled. Does not know about: YAML and execution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.workflows.errors import Position
from localcloud.workflows.functions.signatures import Backoff, Function
from localcloud.workflows.source.templates import Template
from localcloud.workflows.values import Value


@dataclass(frozen=True, slots=True)
class Reference:
    """The left side of an assignment: a variable and the keys and indices below it."""

    name: str
    path: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One entry of an assign step."""

    target: Reference
    value: Template
    position: Position


@dataclass(frozen=True, slots=True)
class Assign:
    """`assign`."""

    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class FunctionCallee:
    """A library function; the call's arguments stand in the order of its parameters."""

    function: Function


@dataclass(frozen=True, slots=True)
class RoutineCallee:
    """A subworkflow; the call's arguments stand in the order of its parameters."""

    name: str


@dataclass(frozen=True, slots=True)
class ConnectorCallee:
    """A `googleapis.*` method; the call's arguments are named `argument_names`."""

    name: str
    argument_names: tuple[str, ...]


Callee = FunctionCallee | RoutineCallee | ConnectorCallee


@dataclass(frozen=True, slots=True)
class Call:
    """`call` with `args` and `result`."""

    callee: Callee
    arguments: tuple[Template, ...]
    result: str | None


@dataclass(frozen=True, slots=True)
class SwitchEntry:
    """One `condition` with what follows when it is the first true one: a block of a single, unnamed step."""

    condition: Template
    body: Block


@dataclass(frozen=True, slots=True)
class Switch:
    """`switch`."""

    entries: tuple[SwitchEntry, ...]


@dataclass(frozen=True, slots=True)
class InList:
    """Iterates over the elements of a list."""

    items: Template


@dataclass(frozen=True, slots=True)
class InRange:
    """Iterates from begin to end, both included; `bounds` gives a list of the two."""

    bounds: Template


@dataclass(frozen=True, slots=True)
class For:
    """`for`, sequential or as the loop of a parallel step."""

    value: str
    index: str | None
    items: InList | InRange
    body: Block


@dataclass(frozen=True, slots=True)
class Branch:
    """A named branch of a parallel step."""

    name: str
    position: Position
    body: Block


@dataclass(frozen=True, slots=True)
class Parallel:
    """`parallel` over branches or over a loop."""

    work: tuple[Branch, ...] | For
    shared: tuple[str, ...]
    concurrency_limit: Template | None


@dataclass(frozen=True, slots=True)
class LibraryPredicate:
    """A retry predicate of the library, such as `http.default_retry_predicate`."""

    function: Function


@dataclass(frozen=True, slots=True)
class RoutinePredicate:
    """A subworkflow that takes the error and returns whether to retry."""

    name: str


@dataclass(frozen=True, slots=True)
class BackoffTemplate:
    """A backoff whose three fields may be expressions."""

    initial_delay: Template
    max_delay: Template
    multiplier: Template


@dataclass(frozen=True, slots=True)
class Retry:
    """`retry`."""

    predicate: LibraryPredicate | RoutinePredicate
    max_retries: Template
    backoff: Backoff | BackoffTemplate
    position: Position


@dataclass(frozen=True, slots=True)
class Except:
    """`except`."""

    error_name: str
    body: Block
    position: Position


@dataclass(frozen=True, slots=True)
class Try:
    """`try` with `retry` and `except`."""

    body: Block
    retry: Retry | None
    handler: Except | None


@dataclass(frozen=True, slots=True)
class Group:
    """`steps` inside a step: no scope of its own."""

    body: Block


Action = Assign | Call | Switch | For | Parallel | Try | Group


@dataclass(frozen=True, slots=True)
class Next:
    """A jump to a step of the routine."""

    target: str
    position: Position


@dataclass(frozen=True, slots=True)
class NextEnd:
    """`next: end`."""

    position: Position


@dataclass(frozen=True, slots=True)
class NextBreak:
    """`next: break`."""

    position: Position


@dataclass(frozen=True, slots=True)
class NextContinue:
    """`next: continue`."""

    position: Position


@dataclass(frozen=True, slots=True)
class Return:
    """`return`; `unreached` is the `next` that stands beside it, to be checked like any other."""

    value: Template
    position: Position
    unreached: Ending | None = None


@dataclass(frozen=True, slots=True)
class Raise:
    """`raise`."""

    value: Template
    position: Position


Ending = Next | NextEnd | NextBreak | NextContinue | Return | Raise


@dataclass(frozen=True, slots=True)
class Step:
    """A step: `position` is that of its action's key (of its ending's key without an action).

    The bodies of switch entries and of a single-step `try` are steps too; they bear the name of the step around them
    and `is_named` is False.
    """

    name: str
    action: Action | None
    ending: Ending | None
    position: Position
    is_named: bool = True


@dataclass(frozen=True, slots=True)
class Block:
    """A list of steps.

    `entries` gives, for every step name that a jump can reach through this block, the index of the step that is it or
    holds it. `assigned` are the variables assigned in this block, without those of nested scopes. `prepared` is the
    runtime's: what it made of the steps, once they have run.
    """

    steps: tuple[Step, ...]
    entries: Mapping[str, int]
    assigned: frozenset[str]
    prepared: list[Any] = field(default_factory=list, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RoutineParameter:
    """A parameter of a routine; without a default it is required."""

    name: str
    is_required: bool
    default: Value = None


@dataclass(frozen=True, slots=True)
class Routine:
    """main or a subworkflow."""

    name: str
    parameters: tuple[RoutineParameter, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Program:
    """A checked workflow: its routines by name, `main` among them, and the connectors that it names."""

    routines: Mapping[str, Routine]
    connectors: frozenset[str] = frozenset()

    @property
    def main(self) -> Routine:
        """Return the routine that an execution starts with."""
        return self.routines["main"]
