"""How many steps a program may take, from above, by the counting that the interpreter does.

What happens an unknown number of times (iterations, jumps back, retries) is a `Repetition` with its own figure: an
execution takes at most the program's own figure plus, for every repetition, its figure times how often it happens.

Source of what counts: https://cloud.google.com/workflows/docs/best-practice (steps), as `runtime` does it.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from localcloud.check.calls import calls_of, depth_first
from localcloud.check.walk import blocks_of, calls_in, jumps_of, loop_template, retry_templates, templates_of
from localcloud.workflows.connectors.executions import METHODS
from localcloud.workflows.connectors.methods import CONNECTOR_PARAMS, Waiting
from localcloud.workflows.functions.signatures import PureFunction
from localcloud.workflows.library import standard_library
from localcloud.workflows.source.steps import (
    Assign,
    Block,
    Call,
    ConnectorCallee,
    For,
    FunctionCallee,
    Group,
    InRange,
    Parallel,
    Program,
    Retry,
    RoutineCallee,
    RoutinePredicate,
    Step,
    Switch,
    Try,
)
from localcloud.workflows.source.templates import Template


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps taken: `clean` when nothing fails, `worst` when every retry is used up and every handler runs."""

    clean: int = 0
    worst: int = 0

    def __add__(self, other: Steps) -> Steps:
        return Steps(self.clean + other.clean, self.worst + other.worst)

    def __sub__(self, other: Steps) -> Steps:
        return Steps(self.clean - other.clean, self.worst - other.worst)

    def times(self, count: int) -> Steps:
        """Return the steps of doing it `count` times."""
        return Steps(self.clean * count, self.worst * count)

    def when_failing(self) -> Steps:
        """Return steps that are taken after a failure only."""
        return Steps(0, self.worst)


@dataclass(frozen=True, slots=True)
class Repetition:
    """What happens an unknown number of times: an iteration, jump back, retry, poll, or call of a recursive routine."""

    what: str
    routine: str
    step: str
    line: int
    each: Steps


@dataclass(frozen=True, slots=True)
class StepCosts:
    """What a program takes: everything once, and each repetition."""

    once: Steps
    repetitions: tuple[Repetition, ...]


def step_costs(program: Program) -> StepCosts:
    """Return the figures of `main`."""
    counter = _Counter(program)
    once = counter.program()
    found = sorted(counter.repetitions.values(), key=lambda each: each.line)
    return StepCosts(once, tuple(found))


_ONE = Steps(1, 1)
_MAIN = "main"


class _Counter:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._known: dict[str, Steps] = {}
        self._open: set[str] = set()
        self._recursive: set[str] = set()
        self.repetitions: dict[tuple[str, str, str, int], Repetition] = {}

    def program(self) -> Steps:
        """Return what a run of `main` takes: routines are counted before those that call them."""
        for name, is_entered in depth_first(calls_of(self._program), [_MAIN]):
            if is_entered:
                self._open.add(name)
                continue
            body = self._program.routines[name].body
            cost = self._block(body, name)
            self._open.remove(name)
            self._known[name] = cost
            if name in self._recursive:
                self._note("further call", name, body.steps[0], cost)
        return self._known[_MAIN]

    def _routine(self, name: str) -> Steps:
        """Return what one call of a routine takes; one that is being counted calls itself."""
        if name in self._open:
            self._recursive.add(name)
            return Steps()
        return self._known[name]

    def _block(self, block: Block, routine: str) -> Steps:
        before = [Steps()]
        """What the steps before each step take together."""
        for step in block.steps:
            before.append(before[-1] + self._step(step, routine))
        for index, step in enumerate(block.steps):
            for source, target in jumps_of(step):
                first = block.entries.get(target)
                if first is not None and first <= index:
                    # Going back over steps repeats at most all of them, whatever other jumps there are.
                    self._note(f"jump back to {target}", routine, source, before[index + 1] - before[first])
        return before[-1]

    def _step(self, step: Step, routine: str) -> Steps:
        cost = sum((self._template(each) for each in templates_of(step)), Steps())
        if step.ending is not None:
            cost += _ONE
        match step.action:
            case Assign():
                return cost + _ONE
            case Call(callee=RoutineCallee(name=name)):
                return cost + _ONE + self._routine(name)
            case Call() as call:
                if _polls(call):
                    self._note("poll", routine, step, _ONE)
                return cost + _ONE
            case Switch():
                bodies = [self._block(body, routine) for body in blocks_of(step)]
                return cost + _ONE + _dearest(bodies)
            case For() as loop:
                return cost + _ONE + self._iterations(loop, step, routine)
            case Parallel(work=For() as loop):
                return cost + self._iterations(loop, step, routine)
            case Parallel():
                branches = [self._block(body, routine) + _ONE for body in blocks_of(step)]
                return cost + sum(branches, Steps())
            case Try() as attempt:
                return cost + self._try(attempt, step, routine)
            case Group(body=body):
                return cost + self._block(body, routine)
            case None:
                return cost

    def _iterations(self, loop: For, step: Step, routine: str) -> Steps:
        each = _ONE + self._block(loop.body, routine)
        count = known_count(loop)
        if count is not None:
            return each.times(count)
        self._note("iteration", routine, step, each)
        return Steps()

    def _try(self, attempt: Try, step: Step, routine: str) -> Steps:
        body = _ONE + self._block(attempt.body, routine)
        total = _ONE + body
        if attempt.retry is not None:
            settings = sum((self._template(each) for each in retry_templates(step)), Steps())
            total += settings.when_failing() + self._retries(attempt.retry, body, step, routine)
        if attempt.handler is not None:
            total += (_ONE + self._block(attempt.handler.body, routine)).when_failing()
        return total

    def _retries(self, retry: Retry, body: Steps, step: Step, routine: str) -> Steps:
        asking = Steps()
        if isinstance(retry.predicate, RoutinePredicate):
            asking = _ONE + self._routine(retry.predicate.name)
        each = (asking + _ONE + body).when_failing()
        if retry.max_retries.is_constant and retry.max_retries.now is not None:
            count = retry.max_retries.now(None)
            if type(count) is int and count >= 0:
                return each.times(count)
        self._note("retry", routine, step, each)
        # A refused retry asks the predicate once more.
        return asking.when_failing()

    def _template(self, template: Template) -> Steps:
        return sum((self._called(name) for name in calls_in(template)), Steps())

    def _called(self, name: str) -> Steps:
        if name in self._program.routines:
            return _ONE + self._routine(name)
        match standard_library().functions.get(name):
            case PureFunction(is_counted=False):
                return Steps()
            case _:
                return _ONE

    def _note(self, what: str, routine: str, step: Step, each: Steps) -> None:
        line = step.ending.position.line if what.startswith("jump") and step.ending is not None else step.position.line
        self.repetitions[what, routine, step.name, line] = Repetition(what, routine, step.name, line, each)


_POLLING_CALLS = (
    "experimental.executions.run",
    "googleapis.workflowexecutions.*.executions.create",
    "googleapis.workflowexecutions.*.executions.run",
    *(method.name for method in METHODS if method.waiting is not Waiting.NOT),
)
"""Calls that wait for something with a poll that counts as a step, by name with `*`."""


def _polls(call: Call) -> bool:
    match call.callee:
        case ConnectorCallee(name=name, argument_names=names):
            arguments = dict(zip(names, call.arguments, strict=True))
            parameters = arguments.get(CONNECTOR_PARAMS)
            if parameters is not None and parameters.is_constant and parameters.now is not None:
                value = parameters.now(None)
                if isinstance(value, dict) and value.get("skip_polling") is True:
                    return False
        case FunctionCallee(function=function):
            name = function.name
        case _:
            return False
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _POLLING_CALLS)


def _dearest(costs: list[Steps]) -> Steps:
    return Steps(max((c.clean for c in costs), default=0), max((c.worst for c in costs), default=0))


def known_count(loop: For) -> int | None:
    """Return how many iterations a loop has, when its values stand in the source."""
    template = loop_template(loop)
    if not template.is_constant or template.now is None:
        return None
    value = template.now(None)
    if not isinstance(value, list):
        return None
    match loop.items, value:
        case InRange(), [int() as begin, int() as end]:
            return max(0, end - begin + 1)
        case InRange(), _:
            return None
        case _:
            return len(value)
