"""Finds what the names of calls stand for, and checks their arguments, at deploy.

Does not know about: YAML; it is told names and argument counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.workflows.expr.evaluator import FunctionLink, RoutineLink
from localcloud.workflows.expr.nodes import Call
from localcloud.workflows.expr.tokens import ExpressionError
from localcloud.workflows.functions.signatures import (
    HostFunction,
    Library,
    Parameter,
    PureFunction,
)
from localcloud.workflows.source.steps import (
    Callee,
    ConnectorCallee,
    FunctionCallee,
    RoutineCallee,
    RoutineParameter,
)
from localcloud.workflows.values import Value

_CONNECTOR_PREFIXES = ("googleapis.", "experimental.", "gke.", "shell.")
"""Beginnings of names that production has beyond the standard library that localcloud emulates."""

_POSITIONAL_CONNECTORS: Mapping[str, tuple[str, ...]] = {
    "googleapis.secretmanager.v1.projects.secrets.versions.accessString": ("secret_id", "version", "project_id"),
}
"""Connectors that may be called in an expression, with the order of their arguments.

Other connectors have no published order, so localcloud refuses them there.
Source: workflows-samples, src/connectors/connector_secretmanager.workflows.yaml.
"""


class LinkError(Exception):
    """A call that cannot be linked; the message says why."""


@dataclass(frozen=True, slots=True)
class ProgramLinker:
    """Finds callees in the library, among the routines of the program and among the connectors."""

    library: Library
    routines: Mapping[str, tuple[RoutineParameter, ...]]
    connectors: Collection[str]
    used: set[str] = field(default_factory=set)
    """Full names of the connectors that were linked."""

    def link(self, call: Call) -> FunctionLink | RoutineLink:
        """Link a call inside an expression, whose arguments are positional.

        Raises:
            ExpressionError: unknown or blocking callee, or a wrong number of arguments.
        """
        try:
            match self.callee(call.function):
                case RoutineCallee(name=name):
                    return self._routine_link(name, len(call.arguments))
                case FunctionCallee(function=PureFunction() | HostFunction() as function):
                    return self._function_link(function, len(call.arguments))
                case ConnectorCallee(name=name) if name in _POSITIONAL_CONNECTORS:
                    return _connector_link(name, len(call.arguments))
                case FunctionCallee() | ConnectorCallee():
                    raise LinkError(f"'{call.function}' blocks and must be called from a call step")
        except LinkError as error:
            raise ExpressionError(str(error), call.offset) from None

    def callee(self, name: str) -> Callee:
        """Return what `name` stands for; a connector's callee has no argument names yet.

        Raises:
            LinkError: nothing has this name.
        """
        if name in self.routines:
            return RoutineCallee(name)
        if name in self.library.functions:
            return FunctionCallee(self.library.functions[name])
        if name in self.connectors:
            self.used.add(name)
            return ConnectorCallee(name, ())
        if name.startswith(_CONNECTOR_PREFIXES):
            raise LinkError(f"localcloud does not emulate '{name}'{_ways_out(name)}")
        raise LinkError(f"symbol '{name}' is neither a function nor a sub-workflow name")

    def parameters(self, callee: FunctionCallee | RoutineCallee) -> tuple[Parameter, ...]:
        """Return the callee's parameters in order."""
        match callee:
            case FunctionCallee():
                return callee.function.parameters
            case RoutineCallee():
                return tuple(
                    Parameter(parameter.name) if parameter.is_required else Parameter(parameter.name, parameter.default)
                    for parameter in self.routines[callee.name]
                )

    def _function_link(self, function: PureFunction | HostFunction, count: int) -> FunctionLink:
        defaults = missing_defaults(function.name, function.parameters, count)
        return FunctionLink(_invoker(function, defaults))

    def _routine_link(self, name: str, count: int) -> RoutineLink:
        defaults = missing_defaults(name, self.parameters(RoutineCallee(name)), count)

        def invoke(scope: Any, arguments: Sequence[Value]) -> Any:
            return scope.call_routine(name, [*arguments, *defaults])

        return RoutineLink(invoke)


def _connector_link(name: str, count: int) -> RoutineLink:
    names = _POSITIONAL_CONNECTORS[name]
    if count > len(names):
        raise LinkError(f"too many arguments for '{name}': expected at most {len(names)}, got {count}")

    def invoke(scope: Any, arguments: Sequence[Value]) -> Any:
        return scope.call_connector(name, dict(zip(names, arguments, strict=False)))

    return RoutineLink(invoke)


def _ways_out(name: str) -> str:
    if not name.startswith("googleapis."):
        return ""
    service = name.split(".")[1]
    return f", or it has no address: --service {service}=URL, --connectors FILE or --allow-unemulated"


def missing_defaults(name: str, parameters: tuple[Parameter, ...], count: int) -> tuple[Value, ...]:
    """Return the defaults that complete `count` positional arguments.

    Raises:
        LinkError: too many arguments, or a required one is missing.
    """
    if count > len(parameters):
        raise LinkError(f"too many arguments for '{name}': expected at most {len(parameters)}, got {count}")
    check_emulated(name, parameters[:count])
    for parameter in parameters[count:]:
        if parameter.is_required:
            raise LinkError(f"missing argument '{parameter.name}' of '{name}'")
    return tuple(parameter.default for parameter in parameters[count:])


def check_emulated(name: str, given: tuple[Parameter, ...]) -> None:
    """Refuse arguments that exist in production only."""
    for parameter in given:
        if not parameter.is_emulated:
            raise LinkError(f"localcloud does not emulate argument '{parameter.name}' of '{name}'")


def _invoker(
    function: PureFunction | HostFunction, defaults: tuple[Value, ...]
) -> Callable[[Any, Sequence[Value]], Value]:
    body = function.body
    match function:
        case PureFunction(is_counted=False):
            return lambda _, arguments: body(*arguments, *defaults)
        case PureFunction():

            def pure(scope: Any, arguments: Sequence[Value]) -> Value:
                scope.count_step()
                return body(*arguments, *defaults)

            return pure
        case HostFunction():

            def hosted(scope: Any, arguments: Sequence[Value]) -> Value:
                scope.count_step()
                return body(scope.host, *arguments, *defaults)

            return hosted
