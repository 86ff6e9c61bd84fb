"""What `localcloud check` says about one file, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from localcloud.check.approximations import Approximation, approximations
from localcloud.check.parallel_memory import ParallelMemory, parallel_memory
from localcloud.check.shape import Shape, shape
from localcloud.check.step_costs import Repetition, StepCosts, step_costs
from localcloud.workflows.connectors.registry import EveryConnector
from localcloud.workflows.limits import MAX_MEMORY_BYTES, MAX_SOURCE_BYTES, MAX_STEPS
from localcloud.workflows.loader import load_program, source_errors
from localcloud.workflows.source.errors import SourceError

_SHOWN_LINES = 8


@dataclass(frozen=True, slots=True)
class Refused:
    """A source that cannot be deployed; `text` has a caret for each of its `errors`, which are none without a place."""

    text: str
    errors: tuple[SourceError, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """A source that can be deployed, and what is known about it."""

    source_bytes: int
    costs: StepCosts
    shape: Shape
    memory: tuple[ParallelMemory, ...]
    approximations: tuple[Approximation, ...]
    unknown_connectors: tuple[str, ...] = ()
    """Called, and not in Google's discovery documents."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What must fail at run time."""
        found = list(self.shape.problems)
        if self.costs.once.clean > MAX_STEPS:
            found.append(f"one pass may take {self.costs.once.clean} steps; the limit is {MAX_STEPS}")
        found += [
            f"the threads of {each.step} (line {each.line}) may hold {each.bytes_at_most} bytes; "
            f"the limit for all variables is {MAX_MEMORY_BYTES}"
            for each in self.memory
            if each.bytes_at_most > MAX_MEMORY_BYTES
        ]
        return tuple(found)


def check_source(
    source: str, assumed: Mapping[str, int] | None = None, *, allows_unemulated: bool = False
) -> Refused | Checked:
    """Check one source.

    Args:
        source: the text.
        assumed: bytes of variables that have no bound of their own.
        allows_unemulated: connectors that are not in Google's discovery documents are told, not refused.
    """
    connectors = EveryConnector(takes_unknown=allows_unemulated)
    if errors := source_errors(source, connectors=connectors):
        return Refused("\n".join(error.rendered for error in errors), tuple(errors))
    program = load_program(source, connectors=connectors)
    return Checked(
        len(source.encode()),
        step_costs(program),
        shape(program),
        tuple(parallel_memory(program, assumed or {})),
        tuple(approximations(program)),
        tuple(sorted(name for name in program.connectors if name not in EveryConnector())),
    )


def report(name: str, checked: Refused | Checked) -> Iterator[str]:
    """Yield the lines of the report about the file `name`."""
    match checked:
        case Refused(text=text):
            yield f"{name}: refused"
            yield from _indented(text.splitlines())
        case Checked(problems=problems):
            yield f"{name}: {'ok' if not problems else 'fails'}"
            for problem in problems:
                yield f"  problem: {problem}"
            for connector in checked.unknown_connectors:
                yield f"  unknown to localcloud: {connector}"
            yield from _indented([_shape(checked)])
            yield from _indented(_steps(checked.costs))
            yield from _indented(_memory(checked.memory))
            yield from _indented(_approximations(checked.approximations))


def _indented(lines: Iterator[str] | list[str]) -> Iterator[str]:
    return (f"  {line}".rstrip() for line in lines)


def _shape(checked: Checked) -> str:
    figures = checked.shape
    if figures.call_depth is None:
        calls = f"calls without a bound ({', '.join(figures.recursive)} call themselves)"
    else:
        calls = f"calls {figures.call_depth} deep"
    return (
        f"{checked.source_bytes} of {MAX_SOURCE_BYTES} bytes, {figures.steps} steps in {figures.routines} routines, "
        f"{calls}, parallel {figures.parallel_depth} deep, {figures.most_branches} branches at most"
    )


def _steps(costs: StepCosts) -> Iterator[str]:
    yield ""
    yield f"Steps, from above; an execution may take {MAX_STEPS}. Worst: all retries used up, all handlers run."
    yield f"{'clean':>9} {'worst':>9}   for"
    yield f"{costs.once.clean:>9} {costs.once.worst:>9}   everything once"
    for each in costs.repetitions:
        yield f"{each.each.clean:>9} {each.each.worst:>9}   + each {_repetition(each)}{_most(each, costs)}"


def _repetition(each: Repetition) -> str:
    step = each.step if each.routine == "main" else f"{each.routine}.{each.step}"
    preposition = "from" if each.what.startswith("jump") else "of"
    return f"{each.what} {preposition} {step} (line {each.line})"


def _most(each: Repetition, costs: StepCosts) -> str:
    if not each.each.clean or costs.once.clean > MAX_STEPS:
        return ""
    return f", alone at most {(MAX_STEPS - costs.once.clean) // each.each.clean} times"


def _memory(figures: tuple[ParallelMemory, ...]) -> Iterator[str]:
    if not figures:
        return
    yield ""
    yield f"Memory of parallel threads; all variables of an execution may take {MAX_MEMORY_BYTES} bytes."
    for each in figures:
        known = f"{each.threads} threads hold {each.bytes_at_most} bytes at most ({_share(each.bytes_at_most)})"
        yield f"{each.step} (line {each.line}): {known}{', without these:' if each.unknown else ''}"
        if each.unknown:
            flags = " ".join(f"--assume {name}=BYTES" for name in each.unknown)
            yield f"    {', '.join(each.unknown)}: no bound in the source; give one with {flags}"


def _share(size: int) -> str:
    return f"{100 * size / MAX_MEMORY_BYTES:.0f} % of them"


def _approximations(found: tuple[Approximation, ...]) -> Iterator[str]:
    if not found:
        return
    yield ""
    yield "Uses what localcloud only approximates; ids as in the fidelity table of its README:"
    for each in found:
        lines = ", ".join(str(line) for line in each.lines[:_SHOWN_LINES])
        more = ", ..." if len(each.lines) > _SHOWN_LINES else ""
        yield f"[{each.fact.id}] {', '.join(each.uses)} (line{'s' if len(each.lines) > 1 else ''} {lines}{more})"
        yield f"    {each.fact.behaviour}"
        if each.fact.note:
            yield f"    localcloud: {each.fact.note}"
