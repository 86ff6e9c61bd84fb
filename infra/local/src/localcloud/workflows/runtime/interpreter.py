"""Runs a checked program to its result: blocks of steps, one `match` over their actions, calls of routines.

Executions are coroutines, so thousands may sleep or wait for callbacks at once. The interpreter gets functions through
the program and everything else through the host; it does not know about: the standard library, HTTP, the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from localcloud.workflows.errors import Position, StackFrame, WorkflowError, value_error
from localcloud.workflows.jsontext import JsonEncodeError, encode_json
from localcloud.workflows.runtime.calls import run_call
from localcloud.workflows.runtime.evaluation import evaluate, evaluate_all
from localcloud.workflows.runtime.failure import ExecutionFailedError, execution_failure
from localcloud.workflows.runtime.flow import (
    BREAK_LOOP,
    CONTINUE_LOOP,
    END_ROUTINE,
    PROCEED,
    BreakLoop,
    ContinueLoop,
    Flow,
    JumpTo,
    ReturnValue,
)
from localcloud.workflows.runtime.host import Host, Progress
from localcloud.workflows.runtime.iteration import loop_values
from localcloud.workflows.runtime.observation import (
    BRANCH,
    CONDITION,
    EXCEPT,
    FOR_PROGRESS,
    ITERATION,
    PARALLEL_ITERATION,
    RETRY,
    RETRY_PROGRESS,
    SWITCH_PROGRESS,
    TRY,
    observed,
    step_type,
)
from localcloud.workflows.runtime.parallel import Thread, run_parallel
from localcloud.workflows.runtime.quick_steps import add_frame, prepared
from localcloud.workflows.runtime.retry import RetryBudget
from localcloud.workflows.runtime.run import Activation, Result, Run
from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.source.steps import (
    Assign,
    Block,
    Call,
    Ending,
    Except,
    For,
    Group,
    Next,
    NextBreak,
    NextContinue,
    NextEnd,
    Parallel,
    Program,
    Raise,
    Return,
    Step,
    Switch,
    Try,
)
from localcloud.workflows.values import Value, checked_boolean

_CALLS_PER_STACK = 4
"""After how many nested calls a routine runs as a task of its own."""

__all__ = ["ExecutionFailedError", "StackFrame", "run_program", "run_to_end", "run_to_json"]


async def run_program(program: Program, argument: Value, host: Host) -> Value:
    """Run `main` with `argument` and return its result.

    Any other exception than those below is a bug of localcloud, which no `except` of the workflow can catch.

    Raises:
        ExecutionFailedError: an error left `main` uncaught.
        asyncio.CancelledError: the execution was cancelled.
    """
    return (await run_to_end(Run(program, host), argument)).value


async def run_to_json(program: Program, argument: Value, host: Host) -> str:
    """Run `main` as `run_program` does and return its result as JSON text."""
    return (await run_to_end(Run(program, host), argument)).text


async def run_to_end(run: Run, argument: Value) -> Result:
    """Do a run whose counters the caller wants to see; otherwise as `run_program`."""
    main = run.program.main
    activation = Activation(run, main.name)
    arguments = [argument] if main.parameters else []
    try:
        value = await _run_routine(activation, arguments)
        return Result(value, _result_text(value))
    except WorkflowError as error:
        raise execution_failure(error) from None


def _result_text(value: Value) -> str:
    try:
        return encode_json(value)
    except JsonEncodeError as error:
        raise value_error(f"the result of the workflow cannot be encoded as JSON: {error}") from None


async def _call_routine(scope: Scope, name: str, arguments: Sequence[Value]) -> Value:
    activation = scope.activation.for_call(name)
    routine = _run_routine(activation, arguments)
    if activation.call_depth % _CALLS_PER_STACK:
        return await routine
    # A task begins on a fresh stack, so twenty calls through deeply nested steps stay below Python's recursion limit.
    return await asyncio.create_task(routine)


async def _run_routine(activation: Activation, arguments: Sequence[Value]) -> Value:
    routine = activation.run.program.routines[activation.routine]
    names = [parameter.name for parameter in routine.parameters]
    scope = Scope(activation, _call_routine, {*names, *routine.body.assigned})
    try:
        for name, value in zip(names, arguments, strict=True):
            scope.store(name, value)
        flow = await _run_block(routine.body, scope)
    finally:
        scope.release()
    return flow.value if isinstance(flow, ReturnValue) else None


async def _run_block(block: Block, scope: Scope, enter: str | None = None) -> Flow:
    """Run the steps of a block, beginning with the step called `enter` if given; it may be nested in one of them."""
    run = scope.activation.run
    steps = block.steps
    quick_steps = prepared(block).steps
    index = 0 if enter is None else block.entries[enter]
    while index < len(steps):
        if run.is_turn_over():
            await asyncio.sleep(0)
        if (quick := quick_steps[index]) is not None:
            # A jump can only lead to the step itself: nothing is inside of it.
            quick(scope)
            enter = None
            index += 1
            continue
        flow = await _run_step(steps[index], scope, enter)
        enter = None
        if flow is PROCEED:
            index += 1
        elif isinstance(flow, JumpTo) and flow.target in block.entries:
            enter = flow.target
            index = block.entries[enter]
        else:
            return flow
    return PROCEED


async def _run_step(step: Step, scope: Scope, enter: str | None) -> Flow:
    """Run a step's action and ending, telling the observer and adding the step's frame to a passing error."""
    activation = scope.activation
    kind = step_type(step)
    position = step.position
    with observed(step, kind, scope):
        try:
            flow: Flow = PROCEED
            if step.action is not None:
                flow = await _run_action(step, scope, None if step.is_named and step.name == enter else enter)
            if step.ending is not None and flow is PROCEED:
                position = step.ending.position
                flow = await _run_ending(step.ending, scope)
        except WorkflowError as error:
            add_frame(error, step, activation, position)
            raise
    return flow


async def _run_action(step: Step, scope: Scope, enter: str | None) -> Flow:
    match step.action:
        case Assign():
            await _run_assign(step.action, scope)
        case Call():
            await run_call(step.action, step, scope)
        case Switch():
            return await _run_switch(step.action, step, scope, enter)
        case For():
            return await _run_for(step.action, step, scope)
        case Try():
            return await _run_try(step.action, step, scope, enter)
        case Group(body=body):
            return await _run_block(body, scope, enter)
        case Parallel():
            await run_parallel(step.action, step, scope, _run_thread)
        case None:
            pass
    return PROCEED


async def _run_ending(ending: Ending, scope: Scope) -> Flow:
    scope.count_step()
    match ending:
        case Next(target=target):
            return JumpTo(target)
        case Return(value=value):
            return ReturnValue(await evaluate(value, scope))
        case Raise(value=value):
            raise WorkflowError(await evaluate(value, scope), from_raise=True)
        case NextEnd():
            return END_ROUTINE
        case NextBreak():
            return BREAK_LOOP
        case NextContinue():
            return CONTINUE_LOOP


async def _run_assign(assign: Assign, scope: Scope) -> None:
    scope.count_step()
    for each in assign.assignments:
        # The value is complete before the target's indices, and both before the store: one entry is atomic.
        run = each.value.now
        value = run(scope) if run is not None else await each.value.later(scope)
        target = each.target
        try:
            if target.path:
                scope.store_element(target.name, await evaluate_all(target.path, scope), value)
            else:
                scope.store(target.name, value)
        except WorkflowError as error:
            error.position = error.position or each.position
            raise


async def _run_switch(switch: Switch, step: Step, scope: Scope, enter: str | None) -> Flow:
    scope.count_step()
    for number, entry in enumerate(switch.entries, 1):
        # A jump to a step inside an entry asks no condition.
        if enter is not None and enter not in entry.body.entries:
            continue
        position = entry.condition.position
        progress = Progress(SWITCH_PROGRESS, number, len(switch.entries))
        with observed(step, CONDITION, scope, progress, position.line):
            run = entry.condition.now
            if enter is not None or _is_true(
                run(scope) if run is not None else await entry.condition.later(scope), position
            ):
                return await _run_block(entry.body, scope, enter)
    return PROCEED


def _is_true(value: Value, position: Position) -> bool:
    try:
        return checked_boolean(value, "condition")
    except WorkflowError as error:
        error.position = position
        raise


async def _run_for(loop: For, step: Step, scope: Scope) -> Flow:
    activation = scope.activation
    activation.run.count_step()
    variables = [loop.value] if loop.index is None else [loop.value, loop.index]
    names = [*variables, *scope.new_names(loop.body.assigned)]
    items = await loop_values(loop, scope)
    body = prepared(loop.body)
    for index, value in enumerate(items.values):
        activation.run.count_step()
        if body.is_whole and activation.run.is_turn_over():
            await asyncio.sleep(0)
        iteration = scope.child(names)
        with observed(step, ITERATION, iteration, Progress(FOR_PROGRESS, index + 1, items.count)):
            try:
                iteration.begin(loop.value, value)
                if loop.index is not None:
                    iteration.begin(loop.index, index)
                if not body.is_whole:
                    flow = await _run_block(loop.body, iteration)
                else:
                    flow = PROCEED
                    for quick in body.steps:
                        if quick is not None:
                            quick(iteration)
            finally:
                iteration.release()
        if flow is PROCEED:
            continue
        match flow:
            case ContinueLoop():
                continue
            case BreakLoop():
                return PROCEED
            case _:
                return flow
    return PROCEED


async def _run_thread(thread: Thread) -> None:
    """Run a branch or iteration; deploy made sure that nothing but its end or `continue` leaves it."""
    kind = PARALLEL_ITERATION if thread.is_iteration else BRANCH
    try:
        with observed(thread.step, kind, thread.scope, thread.progress):
            await _run_block(thread.block, thread.scope)
    finally:
        thread.scope.release()


async def _run_try(step: Try, named: Step, scope: Scope, enter: str | None) -> Flow:
    run = scope.activation.run
    run.count_step()
    budget = RetryBudget(step.retry, scope) if step.retry else None
    attempt = 0
    while True:
        attempt += 1
        run.count_step()
        try:
            with observed(named, TRY, scope):
                return await _run_block(step.body, scope, enter)
        except WorkflowError as error:
            if not error.catchable:
                raise
            caught = error
        enter = None
        delay_s = await budget.next_delay_s(caught) if budget else None
        if delay_s is not None:
            run.count_step()
            with observed(named, RETRY, scope, Progress(RETRY_PROGRESS, attempt, budget.expected if budget else None)):
                await run.host.clock.sleep(delay_s)
        elif step.handler is not None:
            return await _run_except(step.handler, caught, named, scope)
        else:
            raise caught


async def _run_except(handler: Except, error: WorkflowError, step: Step, scope: Scope) -> Flow:
    scope.count_step()
    inside = scope.child([handler.error_name, *scope.new_names(handler.body.assigned)])
    with observed(step, EXCEPT, inside):
        try:
            inside.store(handler.error_name, error.value)
            return await _run_block(handler.body, inside)
        finally:
            inside.release()
