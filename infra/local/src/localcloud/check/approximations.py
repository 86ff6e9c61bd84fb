"""Which parts of a workflow use behaviour that localcloud only approximates.

The facts are those of `fidelity.yaml`; the table here says which function or construct each is about. Facts about the
servers or about what only shows in odd cases of every workflow are in the README's table and not repeated here.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

import yaml

from localcloud.check.walk import calls_in, retry_templates, steps_of, templates_of
from localcloud.workflows.expr.nodes import Binary, Index, MapDisplay, Unary, walk
from localcloud.workflows.source.steps import (
    Assign,
    Call,
    ConnectorCallee,
    For,
    FunctionCallee,
    Parallel,
    Program,
    Raise,
    Step,
    Try,
)

FUNCTION_FACTS: Mapping[str, tuple[str, ...]] = {
    "int": ("conversions",),
    "double": ("conversions",),
    "string": ("conversions",),
    "keys": ("conversions",),
    "json.*": ("json-numbers",),
    "text.*": ("text-corners",),
    "base64.decode": ("base64-padding",),
    "time.parse": ("time-corners",),
    "time.format": ("time-corners",),
    "sys.sleep": ("sleep-corners",),
    "sys.sleep_until": ("sleep-corners",),
    "sys.log": ("log-arguments",),
    "http.*": ("http-bodies", "http-encoding", "http-timeouts", "http-redirects", "google-hosts"),
    "events.await_callback": ("callback-received-time", "callback-url-field", "callback-wrong-method"),
    "experimental.*": ("experimental-executions",),
    "googleapis.*": ("connector-time-limit",),
    "googleapis.workflowexecutions.*": ("connector-operation-result", "connector-poll-steps"),
    "googleapis.storage.v1.objects.insert": ("storage-insert-multipart",),
    "googleapis.cloudtasks.*": ("tasks-texts", "tasks-response-codes"),
}
"""Name of a function or connector (with `*`) to ids of `fidelity.yaml`."""

CONSTRUCT_FACTS: Mapping[str, tuple[str, ...]] = {
    "for": ("loop-corners",),
    "parallel": ("parallel-corners",),
    "try": ("try-corners",),
    "retry": ("retry-corners",),
    "raise": ("raise-any-value",),
    "action with next, return or raise": ("step-corners",),
    "assign to an element": ("variable-corners",),
    "//": ("floor-division",),
    "%": ("floor-division",),
    "and": ("short-circuit",),
    "or": ("short-circuit",),
    "in": ("equality",),
    "index": ("index-types",),
    "map in an expression": ("literal-forms",),
}
"""Construct of the language to ids of `fidelity.yaml`."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One entry of `fidelity.yaml`."""

    id: str
    area: str
    behaviour: str
    status: str
    known_from: str
    note: str


@dataclass(frozen=True, slots=True)
class Approximation:
    """An approximated behaviour that a workflow uses: by what, and on which lines."""

    fact: Fact
    uses: tuple[str, ...]
    lines: tuple[int, ...]


def fidelity() -> dict[str, Fact]:
    """Return all facts by id, in the order of the file."""
    text = resources.files("localcloud").joinpath("fidelity.yaml").read_text(encoding="utf-8")
    return {entry["id"]: Fact(**entry) for entry in yaml.safe_load(text)}


def approximations(program: Program) -> list[Approximation]:
    """Return the approximated behaviours that the program uses, in the order of `fidelity.yaml`."""
    uses: dict[str, set[str]] = {}
    lines: dict[str, set[int]] = {}
    for routine in program.routines.values():
        for step in steps_of(routine.body):
            for use, ids in (*_functions(step), *_constructs(step)):
                for each in ids:
                    uses.setdefault(each, set()).add(use)
                    lines.setdefault(each, set()).add(step.position.line)
    return [
        Approximation(fact, tuple(sorted(uses[each])), tuple(sorted(lines[each])))
        for each, fact in fidelity().items()
        if each in uses and fact.status == "approximated"
    ]


def _functions(step: Step) -> Iterator[tuple[str, tuple[str, ...]]]:
    names = [name for template in (*templates_of(step), *retry_templates(step)) for name in calls_in(template)]
    match step.action:
        case Call(callee=FunctionCallee(function=function)):
            names.append(function.name)
        case Call(callee=ConnectorCallee(name=name)):
            names.append(name)
        case _:
            pass
    for name in names:
        for pattern, ids in FUNCTION_FACTS.items():
            if fnmatch.fnmatchcase(name, pattern):
                yield name, ids


def _constructs(step: Step) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name in _construct_names(step):
        yield name, CONSTRUCT_FACTS[name]


def _construct_names(step: Step) -> Iterator[str]:
    match step.action:
        case For():
            yield "for"
        case Parallel(work=work):
            yield "parallel"
            if isinstance(work, For):
                yield "for"
        case Try(retry=retry):
            yield "try"
            if retry is not None:
                yield "retry"
        case Assign(assignments=assignments) if any(each.target.path for each in assignments):
            yield "assign to an element"
        case _:
            pass
    if isinstance(step.ending, Raise):
        yield "raise"
    if step.action is not None and step.ending is not None:
        yield "action with next, return or raise"
    for template in (*templates_of(step), *retry_templates(step)):
        for each in template.expressions:
            for node in walk(each.node):
                match node:
                    case Binary(operator=operator) | Unary(operator=operator) if operator in CONSTRUCT_FACTS:
                        yield operator
                    case Index():
                        yield "index"
                    case MapDisplay():
                        yield "map in an expression"
                    case _:
                        pass
