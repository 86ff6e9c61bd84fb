"""Reads the parts of a program: the blocks, templates, calls and jumps of a step, but not what they cost."""

from __future__ import annotations

from collections.abc import Iterator

from localcloud.workflows.expr.nodes import Call as ExpressionCall
from localcloud.workflows.expr.nodes import walk
from localcloud.workflows.source.steps import (
    Assign,
    BackoffTemplate,
    Block,
    Call,
    For,
    Group,
    InList,
    InRange,
    Next,
    Parallel,
    Raise,
    Return,
    RoutineCallee,
    RoutinePredicate,
    Step,
    Switch,
    Try,
)
from localcloud.workflows.source.templates import Template


def steps_of(block: Block) -> Iterator[Step]:
    """Yield every step of a block and of the blocks inside it, outer ones first."""
    for step in block.steps:
        yield step
        for inner in blocks_of(step):
            yield from steps_of(inner)


def blocks_of(step: Step) -> tuple[Block, ...]:
    """Return the blocks that a step holds, in the order of the source."""
    match step.action:
        case Switch(entries=entries):
            return tuple(entry.body for entry in entries)
        case For(body=body) | Group(body=body) | Parallel(work=For(body=body)):
            return (body,)
        case Parallel(work=tuple() as branches):
            return tuple(branch.body for branch in branches)
        case Try(body=body, handler=handler):
            return (body,) if handler is None else (body, handler.body)
        case _:
            return ()


def templates_of(step: Step) -> Iterator[Template]:
    """Yield the values that a step itself evaluates when nothing fails, without those of its blocks."""
    match step.action:
        case Assign(assignments=assignments):
            for each in assignments:
                yield from (each.value, *each.target.path)
        case Call(arguments=arguments):
            yield from arguments
        case Switch(entries=entries):
            yield from (entry.condition for entry in entries)
        case For() as loop:
            yield loop_template(loop)
        case Parallel(work=work, concurrency_limit=limit):
            if isinstance(work, For):
                yield loop_template(work)
            if limit is not None:
                yield limit
        case _:
            pass
    match step.ending:
        case Return(value=value) | Raise(value=value):
            yield value
        case _:
            pass


def retry_templates(step: Step) -> Iterator[Template]:
    """Yield what a try step evaluates when its first attempt has failed."""
    match step.action:
        case Try(retry=retry) if retry is not None:
            yield retry.max_retries
            if isinstance(retry.backoff, BackoffTemplate):
                yield from (retry.backoff.initial_delay, retry.backoff.max_delay, retry.backoff.multiplier)
        case _:
            pass


def loop_template(loop: For) -> Template:
    """Return the value that a loop goes over."""
    match loop.items:
        case InList(items=template) | InRange(bounds=template):
            return template


def calls_in(template: Template) -> Iterator[str]:
    """Yield the names of the functions and routines that an expression calls, as often as it does."""
    for each in template.expressions:
        yield from (part.function for part in walk(each.node) if isinstance(part, ExpressionCall))


def routines_called(step: Step) -> Iterator[str]:
    """Yield the names that a step calls, routines and functions alike, also from expressions and retry predicates."""
    match step.action:
        case Call(callee=RoutineCallee(name=name)):
            yield name
        case Try(retry=retry) if retry is not None and isinstance(retry.predicate, RoutinePredicate):
            yield retry.predicate.name
        case _:
            pass
    for template in (*templates_of(step), *retry_templates(step)):
        yield from calls_in(template)


def jumps_out(block: Block) -> Iterator[tuple[Step, str]]:
    """Yield the jumps inside a block whose target is not in it, with the step that jumps."""
    for step, target in all_jumps(block):
        if target not in block.entries:
            yield step, target


def all_jumps(block: Block) -> Iterator[tuple[Step, str]]:
    """Yield the jumps that reach this block's level: its own steps' and those that leave the blocks inside."""
    for step in block.steps:
        yield from jumps_of(step)


def jumps_of(step: Step) -> Iterator[tuple[Step, str]]:
    """Yield the jumps of a step and those that leave the blocks inside it, named after the nearest named step."""
    for inner in blocks_of(step):
        for source, target in jumps_out(inner):
            yield (source if source.is_named else step), target
    if isinstance(step.ending, Next):
        yield step, step.ending.target
