"""Runs call steps: library functions, connectors and subworkflows, and tells the host's call observer.

Does not know about: calls inside expressions, which are linked at deploy and are not logged (as in production).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.functions.signatures import BlockingFunction, HostFunction, PureFunction
from localcloud.workflows.runtime.evaluation import evaluate_all
from localcloud.workflows.runtime.run import Activation
from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.source.steps import Call, Callee, ConnectorCallee, FunctionCallee, RoutineCallee, Step
from localcloud.workflows.values import Value


async def run_call(call: Call, step: Step, scope: Scope) -> None:
    """Call the step's callee and store its result.

    Raises:
        WorkflowError: the arguments or the callee raised it.
    """
    arguments = await evaluate_all(call.arguments, scope)
    with _observed(call.callee, step, scope.activation, arguments) as returned:
        result = await _call(call.callee, scope, arguments)
        returned(result)
    if call.result is not None:
        scope.store(call.result, result)


async def _call(callee: Callee, scope: Scope, arguments: Sequence[Value]) -> Value:
    if isinstance(callee, RoutineCallee):
        return await scope.call_routine(callee.name, arguments)
    scope.count_step()
    if isinstance(callee, ConnectorCallee):
        connector = scope.host.connectors[callee.name]
        return await connector(scope.host, dict(zip(callee.argument_names, arguments, strict=True)))
    match callee.function:
        case PureFunction(body=pure):
            return pure(*arguments)
        case HostFunction(body=hosted):
            return hosted(scope.host, *arguments)
        case BlockingFunction(body=blocking):
            return await blocking(scope.host, *arguments)


@contextmanager
def _observed(
    callee: Callee, step: Step, activation: Activation, arguments: Sequence[Value]
) -> Iterator[Callable[[Value], None]]:
    """Report a call step to the host's call observer, if it has one; yields a function to hand the result to."""
    observer = activation.run.host.calls
    if observer is None:
        yield _nobody_listens
        return
    function, names = _signature(callee, activation)
    named = dict(zip(names, arguments, strict=True))
    call = observer.call_started(routine=activation.routine, step=step.name, function=function, arguments=named)
    try:
        yield lambda result: observer.call_returned(call, result)
    except WorkflowError as error:
        observer.call_raised(call, error.value, origin=error.frames[0].step if error.frames else None)
        raise


def _nobody_listens(result: Value) -> None:
    pass


def _signature(callee: Callee, activation: Activation) -> tuple[str, Sequence[str]]:
    match callee:
        case FunctionCallee(function=function):
            return function.name, [parameter.name for parameter in function.parameters]
        case RoutineCallee(name=name):
            return name, [each.name for each in activation.run.program.routines[name].parameters]
        case ConnectorCallee(name=name, argument_names=names):
            return name, names
