"""Builds routines, blocks and steps from a composed document; shapes, keys and counts are checked on the way.

Does not know about: which names are visible where and which jumps are allowed (`checks`), nor execution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from localcloud.workflows.limits import MAX_BRANCHES, MAX_CONDITIONS
from localcloud.workflows.source.actions import build_assign, build_call, build_retry
from localcloud.workflows.source.build_context import BuildContext
from localcloud.workflows.source.document import DocumentNode, Entry, Mapping, Sequence
from localcloud.workflows.source.steps import (
    Action,
    Assign,
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
    Return,
    Step,
    Switch,
    SwitchEntry,
    Try,
)

_ACTION_KEYS = ("assign", "call", "switch", "for", "parallel", "try", "steps")
_ENDING_KEYS = ("next", "return", "raise")
_DEPENDENT_KEYS = {"args": "call", "result": "call", "retry": "try", "except": "try"}
_BODY_KEYS = (*_ACTION_KEYS, *_ENDING_KEYS, *_DEPENDENT_KEYS)
_CONTINUE_ALL = "continueAll"


def build_block(node: DocumentNode, context: BuildContext) -> Block:
    """Build a list of steps."""
    items = context.sequence(node, "steps").items
    if not items:
        context.fail("steps must have at least one step", node.position)
    steps = (context.attempt(partial(_named_step, item, context)) for item in items)
    return block_of(tuple(step for step in steps if step is not None))


def block_of(steps: tuple[Step, ...]) -> Block:
    """Return the block of the steps, with its table of jump targets and its assigned variables."""
    entries: dict[str, int] = {}
    assigned: set[str] = set()
    for index, step in enumerate(steps):
        for name in _reachable_names(step):
            entries.setdefault(name, index)
        assigned |= _assigned_names(step)
    return Block(steps, entries, frozenset(assigned))


def transparent_blocks(step: Step) -> Iterator[Block]:
    """Yield the blocks of a step that a jump may enter and that have no scope of their own.

    An `except` block, a loop's body and a parallel branch have one.
    """
    match step.action:
        case Group(body=body) | Try(body=body):
            yield body
        case Switch(entries=entries):
            for entry in entries:
                yield entry.body
        case _:
            pass


def _reachable_names(step: Step) -> Iterator[str]:
    if step.is_named:
        yield step.name
    for block in transparent_blocks(step):
        yield from block.entries


def _assigned_names(step: Step) -> set[str]:
    names = {name for block in transparent_blocks(step) for name in block.assigned}
    match step.action:
        case Assign(assignments=assignments):
            names |= {each.target.name for each in assignments if not each.target.path}
        case Call(result=str() as result):
            names.add(result)
        case _:
            pass
    return names


def _named_step(node: DocumentNode, context: BuildContext) -> Step:
    entries = context.mapping(node, "a step").entries
    if len(entries) != 1:
        context.fail("a step is a map with one entry, its name", node.position)
    name = entries[0].key
    if not name:
        context.fail("step name should not be empty", entries[0].key_position)
    inner = context.in_step(name)
    return _step(name, inner.mapping(entries[0].value, "a step's body"), inner, is_named=True)


def _step(name: str, body: Mapping, context: BuildContext, *, is_named: bool, extra_keys: tuple[str, ...] = ()) -> Step:
    """Build a step, or the step-like body of a switch entry or a try (which is not named)."""
    context.check_keys(body, (*_BODY_KEYS, *extra_keys), "a step")
    for key, needed in _DEPENDENT_KEYS.items():
        dependent = body.get(key)
        if dependent is not None and body.get(needed) is None:
            context.fail(f"'{key}' needs '{needed}'", dependent.key_position)
    actions = [entry for entry in body.entries if entry.key in _ACTION_KEYS]
    endings = [entry for entry in body.entries if entry.key in _ENDING_KEYS]
    for found in (actions, _without_unreached(endings)):
        if len(found) > 1:
            context.fail(f"a step cannot have both '{found[0].key}' and '{found[1].key}'", found[1].key_position)
    if not actions and not endings:
        context.fail("a step needs something to do", body.position)
    action = _action(actions[0], body, context) if actions else None
    ending = _endings(endings, context)
    return Step(name, action, ending, (actions or endings)[0].key_position, is_named=is_named)


def _action(entry: Entry, body: Mapping, context: BuildContext) -> Action:
    match entry.key:
        case "assign":
            return build_assign(entry.value, context)
        case "call":
            return build_call(body, context)
        case "switch":
            return _switch(entry.value, context)
        case "for":
            return _for(entry.value, context)
        case "parallel":
            return _parallel(entry.value, context)
        case "try":
            return _try(entry, body, context)
        case _:
            return Group(build_block(entry.value, context))


def _without_unreached(endings: list[Entry]) -> list[Entry]:
    """Return the endings without a `next` beside a `return`: a sample of Google's has both, and returns."""
    if {entry.key for entry in endings} == {"return", "next"}:
        return [entry for entry in endings if entry.key == "return"]
    return endings


def _endings(endings: list[Entry], context: BuildContext) -> Ending | None:
    if not endings:
        return None
    taken = _without_unreached(endings)[0]
    unreached = [_ending(entry, context) for entry in endings if entry is not taken]
    ending = _ending(taken, context)
    return replace(ending, unreached=unreached[0]) if isinstance(ending, Return) and unreached else ending


def _ending(entry: Entry, context: BuildContext) -> Ending:
    position = entry.key_position
    match entry.key:
        case "return":
            return Return(context.template(entry.value, "return value"), position)
        case "raise":
            return Raise(context.template(entry.value, "raise value"), position)
    target = context.text(entry.value, "next")
    match target:
        case "end":
            return NextEnd(position)
        case "break":
            return NextBreak(position)
        case "continue":
            return NextContinue(position)
        case _:
            return Next(target, position)


def _switch(node: DocumentNode, context: BuildContext) -> Switch:
    items = context.sequence(node, "switch").items
    if not 1 <= len(items) <= MAX_CONDITIONS:
        context.fail(f"switch takes 1 to {MAX_CONDITIONS} conditions, not {len(items)}", node.position)
    return Switch(tuple(_switch_entry(item, context) for item in items))


def _switch_entry(node: DocumentNode, context: BuildContext) -> SwitchEntry:
    body = context.mapping(node, "a switch condition")
    condition = context.template(context.required(body, "condition", "a switch condition").value, "condition")
    assert context.step is not None
    step = _step(context.step, body, context, is_named=False, extra_keys=("condition",))
    return SwitchEntry(condition, block_of((step,)))


def _for(node: DocumentNode, context: BuildContext) -> For:
    body = context.mapping(node, "for")
    context.check_keys(body, ("value", "index", "in", "range", "steps"), "for")
    value = context.name(context.required(body, "value", "for").value, "the loop variable")
    index_entry = body.get("index")
    index = context.name(index_entry.value, "the index variable") if index_entry else None
    if value == index:
        context.fail(f"'{value}' cannot be both value and index", node.position)
    in_entry, range_entry = body.get("in"), body.get("range")
    if (in_entry is None) is (range_entry is None):
        context.fail("for needs exactly one of 'in' and 'range'", node.position)
    items: InList | InRange
    if in_entry is not None:
        items = InList(context.template(in_entry.value, "in"))
    else:
        assert range_entry is not None
        items = _range(range_entry.value, context)
    return For(value, index, items, build_block(context.required(body, "steps", "for").value, context))


def _range(node: DocumentNode, context: BuildContext) -> InRange:
    if isinstance(node, Mapping) or (isinstance(node, Sequence) and len(node.items) != 2):
        context.fail("range must be a list of two values, begin and end", node.position)
    return InRange(context.template(node, "range"))


def _parallel(node: DocumentNode, context: BuildContext) -> Parallel:
    body = context.mapping(node, "parallel")
    context.check_keys(body, ("exception_policy", "shared", "concurrency_limit", "branches", "for"), "parallel")
    policy = body.get("exception_policy")
    if policy is not None and context.text(policy.value, "exception_policy") != _CONTINUE_ALL:
        context.fail(f"exception_policy must be {_CONTINUE_ALL}", policy.value.position)
    branches, loop = body.get("branches"), body.get("for")
    if (branches is None) is (loop is None):
        context.fail("parallel needs exactly one of 'branches' and 'for'", node.position)
    limit = body.get("concurrency_limit")
    work: tuple[Branch, ...] | For
    if branches is not None:
        work = _branches(branches.value, context)
    else:
        assert loop is not None
        work = _for(loop.value, context)
    return Parallel(work, _shared(body, context), context.template(limit.value, "concurrency_limit") if limit else None)


def _shared(body: Mapping, context: BuildContext) -> tuple[str, ...]:
    entry = body.get("shared")
    if entry is None:
        return ()
    names = tuple(context.name(item, "shared") for item in context.sequence(entry.value, "shared").items)
    if len(set(names)) != len(names):
        context.fail("shared names a variable twice", entry.value.position)
    return names


def _branches(node: DocumentNode, context: BuildContext) -> tuple[Branch, ...]:
    items = context.sequence(node, "branches").items
    if not 1 <= len(items) <= MAX_BRANCHES:
        context.fail(f"parallel takes 1 to {MAX_BRANCHES} branches, not {len(items)}", node.position)
    branches = tuple(_branch(item, context) for item in items)
    if len({branch.name for branch in branches}) != len(branches):
        context.fail("two branches have the same name", node.position)
    return branches


def _branch(node: DocumentNode, context: BuildContext) -> Branch:
    entries = context.mapping(node, "a branch").entries
    if len(entries) != 1:
        context.fail("a branch is a map with one entry, its name", node.position)
    body = context.mapping(entries[0].value, "a branch's body")
    context.check_keys(body, ("steps",), "a branch")
    steps = context.required(body, "steps", "a branch")
    return Branch(entries[0].key, entries[0].key_position, build_block(steps.value, context))


def _try(entry: Entry, body: Mapping, context: BuildContext) -> Try:
    retry, handler = body.get("retry"), body.get("except")
    if retry is None and handler is None:
        context.fail("try needs 'retry' or 'except'", entry.key_position)
    return Try(
        _try_body(entry.value, context),
        build_retry(retry.value, retry.key_position, context) if retry else None,
        _except(handler, context) if handler else None,
    )


def _try_body(node: DocumentNode, context: BuildContext) -> Block:
    body = context.mapping(node, "try")
    for key in ("for", "parallel"):
        unnamed = body.get(key)
        if unnamed is not None:
            what = "loop" if key == "for" else key
            context.fail(f"{what} step name should not be empty", unnamed.key_position)
    assert context.step is not None
    steps = body.get("steps")
    if steps is not None and len(body.entries) == 1:
        return build_block(steps.value, context)
    return block_of((_step(context.step, body, context, is_named=False),))


def _except(entry: Entry, context: BuildContext) -> Except:
    body = context.mapping(entry.value, "except")
    context.check_keys(body, ("as", "steps"), "except")
    name = context.name(context.required(body, "as", "except").value, "as")
    steps = body.get("steps")
    # Documented: the steps are optional; the error is caught all the same.
    block = build_block(steps.value, context) if steps is not None else block_of(())
    return Except(name, block, entry.key_position)
