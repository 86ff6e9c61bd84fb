"""Variables: a chain of scopes, each knowing the names that belong to it from the start.

A routine has one scope; loop iterations, `except` blocks and parallel branches add one of their own. A name belongs to
the outermost scope that assigns it anywhere, so stores find their scope by walking outward. A declared variable that
was not assigned yet reads as null. Does not know about: steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from localcloud.workflows.errors import key_error, type_error
from localcloud.workflows.runtime.host import Host
from localcloud.workflows.runtime.memory import NUMBER_BYTES, size_after, size_of
from localcloud.workflows.runtime.run import Activation
from localcloud.workflows.values import Value, checked_list_index, checked_map_key, message_type_name

CallRoutine = Callable[["Scope", str, Sequence[Value]], Awaitable[Value]]


class Scope:
    """The variables visible to a piece of a program; also the environment its expressions run in."""

    __slots__ = ("_call_routine", "activation", "parent", "sizes", "variables")

    def __init__(
        self, activation: Activation, call_routine: CallRoutine, names: Iterable[str], parent: Scope | None = None
    ) -> None:
        self.activation = activation
        self._call_routine = call_routine
        self.parent = parent
        self.variables: dict[str, Value] = dict.fromkeys(names)
        self.sizes: dict[str, int] = {}

    def child(self, names: Iterable[str], activation: Activation | None = None) -> Scope:
        """Return a scope inside this one in which `names` exist; see `new_names`."""
        return Scope(activation or self.activation, self._call_routine, names, self)

    def new_names(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that no scope from here outward has: they belong to a child."""
        return [name for name in names if self._owner(name) is None]

    def lookup(self, name: str) -> Value:
        """Return a variable's value."""
        scope: Scope | None = self
        while scope is not None:
            variables = scope.variables
            if name in variables:
                return variables[name]
            scope = scope.parent
        raise AssertionError(f"variable {name} was not checked at deploy")

    def store(self, name: str, value: Value) -> None:
        """Assign a variable.

        Raises:
            WorkflowError: ResourceLimitError when the execution's memory is exhausted.
        """
        owner = self._owner(name)
        assert owner is not None, f"variable {name} was not checked at deploy"
        kind = type(value)
        if kind is int or kind is bool or kind is float:
            size = NUMBER_BYTES
        else:
            size = size_after(owner.variables[name], owner.sizes.get(name, 0), value)
        self._put(owner, name, value, size)

    def begin(self, name: str, value: Value) -> None:
        """Assign one of this scope's own variables for the first time, such as that of an iteration.

        Raises:
            WorkflowError: ResourceLimitError when the execution's memory is exhausted.
        """
        kind = type(value)
        size = NUMBER_BYTES if kind is int or kind is bool or kind is float else size_of(value)
        self.variables[name] = value
        self.sizes[name] = size
        self.activation.run.memory.change(size)

    def store_element(self, name: str, path: Sequence[Value], value: Value) -> None:
        """Assign `name[path...]`, building new containers on the way down: other variables keep what they had.

        Raises:
            WorkflowError: IndexError outside a list, TypeError below a value that holds nothing, ResourceLimitError.
        """
        owner = self._owner(name)
        assert owner is not None, f"variable {name} was not checked at deploy"
        changed, growth = _with_element(owner.variables[name], path, value)
        self._put(owner, name, changed, owner.sizes.get(name, 0) + growth)

    def visible(self) -> dict[str, Value]:
        """Return the variables that were assigned, from here outward; their values are replaced, never changed."""
        found: dict[str, Value] = {}
        scope: Scope | None = self
        while scope is not None:
            for name in scope.sizes:
                found.setdefault(name, scope.variables[name])
            scope = scope.parent
        return found

    def release(self) -> None:
        """Give back the memory of the scope's variables when control leaves it."""
        self.activation.run.memory.change(-sum(self.sizes.values()))

    @property
    def host(self) -> Host:
        """Return the execution's host, for library functions."""
        return self.activation.run.host

    def count_step(self) -> None:
        """Count a function call in an expression toward the step limit."""
        self.activation.run.count_step()

    async def call_routine(self, name: str, arguments: Sequence[Value]) -> Value:
        """Call a subworkflow, which counts as a step."""
        self.count_step()
        return await self._call_routine(self, name, arguments)

    async def call_connector(self, name: str, arguments: Mapping[str, Value]) -> Value:
        """Call a connector from an expression, which counts as a step."""
        self.count_step()
        return await self.host.connectors[name](self.host, arguments)

    def _owner(self, name: str) -> Scope | None:
        scope: Scope | None = self
        while scope is not None and name not in scope.variables:
            scope = scope.parent
        return scope

    def _put(self, owner: Scope, name: str, value: Value, size: int) -> None:
        growth = size - owner.sizes.get(name, 0)
        owner.variables[name] = value
        owner.sizes[name] = size
        if growth:
            self.activation.run.memory.change(growth)


def _with_element(container: Value, path: Sequence[Value], value: Value) -> tuple[Value, int]:
    """Return a copy of the container with one element replaced, and by how many bytes it grew."""
    if not path:
        return value, size_of(value) - size_of(container)
    key, rest = path[0], path[1:]
    if type(container) is list:
        index = checked_list_index(container, key)
        element, growth = _with_element(container[index], rest, value)
        items = container.copy()
        items[index] = element
        return items, growth
    if type(container) is dict:
        name = checked_map_key(key)
        if name in container:
            element, growth = _with_element(container[name], rest, value)
        else:
            element = _with_missing_maps(name, rest, value)
            growth = size_of(name) + size_of(element)
        return {**container, name: element}, growth
    raise type_error(f"cannot assign an element of a value of type '{message_type_name(container)}'")


def _with_missing_maps(name: str, path: Sequence[Value], value: Value) -> Value:
    """Return the value inside one new map per key of the path (assumed); lists are not made up."""
    for key in reversed(path):
        if type(key) is not str:
            raise key_error(name)
        value = {key: value}
    return value
