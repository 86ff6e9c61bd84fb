"""Static checks of a built routine: names that do not exist, writes across parallel borders, jumps across borders.

Names are resolved statically, as production does: a variable exists in a scope when something assigns it anywhere in
that scope, whether or not that step runs first. Does not know about: YAML and execution.

Source: https://cloud.google.com/workflows/docs/reference/syntax/variables, .../jumps, .../parallel-steps
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from localcloud.workflows.errors import Position
from localcloud.workflows.expr.nodes import Name, walk
from localcloud.workflows.source.build_context import BuildContext
from localcloud.workflows.source.builder import transparent_blocks
from localcloud.workflows.source.steps import (
    Assign,
    BackoffTemplate,
    Block,
    Branch,
    Call,
    Ending,
    Except,
    For,
    Group,
    InList,
    InRange,
    Next,
    NextBreak,
    NextContinue,
    NextEnd,
    Parallel,
    Raise,
    Retry,
    Return,
    Routine,
    Step,
    Switch,
    Try,
)
from localcloud.workflows.source.templates import Template


class _Loop(Enum):
    """The loop that `break` and `continue` belong to."""

    NONE = "none"
    FOR = "for"
    PARALLEL = "parallel for"


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of a scope and of those around it; linked, since a copy for every scope would cost the square of them."""

    own: Collection[str]
    outer: _Names | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.own or (self.outer is not None and name in self.outer)


@dataclass(frozen=True, slots=True)
class _Targets:
    """How often each name occurs among the steps that a jump may go to; linked like `_Names`."""

    own: Counter[str]
    outer: _Targets | None = None

    def count(self, name: str) -> int:
        return self.own[name] + (self.outer.count(name) if self.outer is not None else 0)


@dataclass(frozen=True, slots=True)
class _View:
    """What is visible at a point of the routine.

    `writable` are the variables that may be assigned here, `targets` the steps a jump may go to and `steps` the names
    of all steps of the routine.
    """

    visible: _Names
    writable: _Names
    targets: _Targets
    steps: frozenset[str]
    loop: _Loop = _Loop.NONE
    in_parallel: bool = False

    def nested(self, block: Block, extra: Iterable[str] = ()) -> _View:
        """Return the view of a block with a scope of its own; `extra` names exist only there."""
        local = {*extra, *(name for name in block.assigned if name not in self.visible)}
        return replace(self, visible=_Names(local, self.visible), writable=_Names(local, self.writable))

    def bordered(self, block: Block) -> _View:
        """Return the view behind a border that jumps cannot cross."""
        return replace(self, targets=_Targets(_step_names(block)))


def check_routine(routine: Routine, context: BuildContext) -> None:
    """Check a whole routine.

    Raises:
        SourceError: production would refuse to deploy it.
    """
    names = _Names(frozenset(parameter.name for parameter in routine.parameters) | routine.body.assigned)
    view = _View(names, names, _Targets(_step_names(routine.body)), frozenset(_all_names(routine.body)))
    _check_block(routine.body, view, context)


def _step_names(block: Block) -> Counter[str]:
    """Return how often each name occurs among the steps that no border or scope separates from the block."""
    names: Counter[str] = Counter()
    for step in block.steps:
        if step.is_named:
            names[step.name] += 1
        for inner in transparent_blocks(step):
            # Not `+=`, which looks at all names for every step.
            names.update(_step_names(inner))
    return names


def _all_names(block: Block) -> Iterator[str]:
    for step in block.steps:
        yield step.name
        for inner in (*transparent_blocks(step), *_bordered(step)):
            yield from _all_names(inner)


def _bordered(step: Step) -> Iterator[Block]:
    match step.action:
        case For(body=body) | Try(handler=Except(body=body)) | Parallel(work=For(body=body)):
            yield body
        case Parallel(work=tuple() as branches):
            for branch in branches:
                yield branch.body
        case _:
            pass


def _check_block(block: Block, view: _View, context: BuildContext) -> None:
    for step in block.steps:
        context.attempt(partial(_check_step, step, view, context.in_step(step.name)))


def _check_step(step: Step, view: _View, context: BuildContext) -> None:
    match step.action:
        case Assign():
            _check_assign(step.action, view, context)
        case Call(arguments=arguments, result=result):
            for argument in arguments:
                _check_template(argument, "argument", view, context)
            if result is not None:
                _check_write(result, step.position, view, context)
        case Switch(entries=entries):
            for entry in entries:
                _check_template(entry.condition, "condition", view, context)
                _check_block(entry.body, view, context)
        case For() as loop:
            _check_iteration(loop, view, context)
            _check_loop_body(loop, replace(view.bordered(loop.body), loop=_Loop.FOR), context)
        case Parallel():
            _check_parallel(step.action, step.position, view, context)
        case Try():
            _check_try(step.action, view, context)
        case Group(body=body):
            _check_block(body, view, context)
        case None:
            pass
    _check_ending(step.ending, view, context)


def _check_assign(assign: Assign, view: _View, context: BuildContext) -> None:
    for each in assign.assignments:
        _check_template(each.value, "assign value", view, context)
        for part in each.target.path:
            _check_template(part, "assignment target", view, context)
        if each.target.name not in view.visible:
            context.fail(f"error evaluating assignment target: {_unknown(each.target.name)}", each.position)
        _check_write(each.target.name, each.position, view, context)


def _check_iteration(loop: For, view: _View, context: BuildContext) -> None:
    match loop.items:
        case InList(items=template):
            _check_template(template, "in", view, context)
        case InRange(bounds=template):
            _check_template(template, "range", view, context)


def _check_loop_body(loop: For, view: _View, context: BuildContext) -> None:
    variables = {loop.value} if loop.index is None else {loop.value, loop.index}
    _check_block(loop.body, view.nested(loop.body, variables), context)


def _check_parallel(parallel: Parallel, position: Position, view: _View, context: BuildContext) -> None:
    if parallel.concurrency_limit is not None:
        _check_template(parallel.concurrency_limit, "concurrency_limit", view, context)
    for name in parallel.shared:
        if name not in view.visible:
            context.fail(f"error evaluating shared: symbol '{name}' is not a variable", position)
        _check_write(name, position, view, context)
    inside = replace(view, writable=_Names(frozenset(parallel.shared)), in_parallel=True)
    match parallel.work:
        case For() as loop:
            _check_iteration(loop, view, context)
            _check_loop_body(loop, replace(inside.bordered(loop.body), loop=_Loop.PARALLEL), context)
        case branches:
            for branch in branches:
                _check_branch(branch, inside, context)


def _check_branch(branch: Branch, view: _View, context: BuildContext) -> None:
    bordered = replace(view.bordered(branch.body), loop=_Loop.NONE)
    _check_block(branch.body, bordered.nested(branch.body), context)


def _check_try(step: Try, view: _View, context: BuildContext) -> None:
    _check_block(step.body, view, context)
    if step.retry is not None:
        _check_retry(step.retry, view, context)
    if step.handler is not None:
        handler = step.handler
        # Its steps may jump out to the steps around the try, but nobody may jump in.
        inside = replace(
            view.nested(handler.body, {handler.error_name}), targets=_Targets(_step_names(handler.body), view.targets)
        )
        _check_block(handler.body, inside, context)


def _check_retry(retry: Retry, view: _View, context: BuildContext) -> None:
    _check_template(retry.max_retries, "max_retries", view, context)
    match retry.backoff:
        case BackoffTemplate() as backoff:
            _check_template(backoff.initial_delay, "initial_delay", view, context)
            _check_template(backoff.max_delay, "max_delay", view, context)
            _check_template(backoff.multiplier, "multiplier", view, context)
        case _:
            pass


def _check_ending(ending: Ending | None, view: _View, context: BuildContext) -> None:
    match ending:
        case None:
            return
        case Return(value=value, position=position, unreached=unreached):
            _check_ending(unreached, view, context)
            _check_template(value, "return value", view, context)
            if view.in_parallel:
                context.fail("return is not allowed in a parallel branch or iteration", position)
        case Raise(value=value):
            _check_template(value, "raise value", view, context)
        case NextEnd(position=position):
            if view.in_parallel:
                context.fail("'next: end' is not allowed in a parallel branch or iteration", position)
        case NextBreak(position=position):
            if view.loop is not _Loop.FOR:
                context.fail(f"'next: break' is only allowed in a for loop{_loop_hint(view)}", position)
        case NextContinue(position=position):
            if view.loop is _Loop.NONE:
                context.fail("'next: continue' is only allowed in a loop", position)
        case Next(target=target, position=position):
            _check_jump(target, position, view, context)


def _loop_hint(view: _View) -> str:
    return ", not in a parallel one" if view.loop is _Loop.PARALLEL else ""


def _check_jump(target: str, position: Position, view: _View, context: BuildContext) -> None:
    count = view.targets.count(target)
    if count == 1:
        return
    if count > 1:
        context.fail(f"step name '{target}' is not unique, so a jump cannot go there", position)
    if target in view.steps:
        context.fail(f"jump to step '{target}' crosses the border of a loop, parallel branch or except block", position)
    context.fail(f"step '{target}' does not exist", position)


def _check_write(name: str, position: Position, view: _View, context: BuildContext) -> None:
    if name not in view.writable:
        context.fail(f"variable '{name}' is assigned in a parallel step and must be listed in 'shared'", position)


def _check_template(template: Template, what: str, view: _View, context: BuildContext) -> None:
    for each in template.expressions:
        for node in walk(each.node):
            if isinstance(node, Name) and node.name not in view.visible:
                offset = each.offset + node.offset
                context.fail(f"error evaluating {what}: {_unknown(node.name)}", each.position, offset=offset)


def _unknown(name: str) -> str:
    return f"symbol '{name}' is neither a variable nor a sub-workflow name"
