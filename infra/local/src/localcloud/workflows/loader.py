"""From source text to a checked program: the entry point of a deploy.

The one module of `source` that knows the standard library as a whole; the rest gets it as an argument.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from localcloud.workflows.library import standard_library
from localcloud.workflows.limits import MAX_PARAMETERS, MAX_SOURCE_BYTES
from localcloud.workflows.source.build_context import BuildContext
from localcloud.workflows.source.builder import build_block
from localcloud.workflows.source.checks import check_routine
from localcloud.workflows.source.document import DocumentNode, Mapping, Scalar, Sequence, compose
from localcloud.workflows.source.errors import SourceError
from localcloud.workflows.source.linker import ProgramLinker
from localcloud.workflows.source.steps import Program, Routine, RoutineParameter
from localcloud.workflows.values import type_name

__all__ = ["Program", "SourceError", "load_program", "source_errors"]

_MAIN = "main"


@dataclass(frozen=True, slots=True)
class _RoutineSource:
    """A routine before its steps are built."""

    parameters: tuple[RoutineParameter, ...]
    steps: DocumentNode


def load_program(source: str, *, connectors: Collection[str] = ()) -> Program:
    """Parse and check a workflow definition.

    Args:
        source: YAML or JSON text, at most 128 KB.
        connectors: full names of the `googleapis.*` methods that exist; a call of any other one is refused.

    Raises:
        SourceError: the source cannot be deployed.
    """
    return _program(source, connectors, None)


def source_errors(source: str, *, connectors: Collection[str] = ()) -> list[SourceError]:
    """Return every error of a source, by line; empty when it can be deployed.

    Names and jumps are looked at when every step can be built: a step that cannot may be where a name comes from.
    """
    errors: list[SourceError] = []
    try:
        _program(source, connectors, errors)
    except SourceError as error:
        errors.append(error)
    return sorted(errors, key=lambda error: (error.line, error.column))


def _program(source: str, connectors: Collection[str], errors: list[SourceError] | None) -> Program:
    if len(source.encode("utf-8", "replace")) > MAX_SOURCE_BYTES:
        raise SourceError(f"failed to build: the source is larger than {MAX_SOURCE_BYTES} bytes", source=source)
    library = standard_library()
    found = _routine_sources(compose(source), BuildContext(source, ProgramLinker(library, {}, connectors), _MAIN))
    linker = ProgramLinker(library, {name: routine.parameters for name, routine in found.items()}, connectors)
    built = []
    for name, routine_source in found.items():
        context = BuildContext(source, linker, name, None, errors)
        routine = Routine(name, routine_source.parameters, build_block(routine_source.steps, context))
        if errors is None:
            check_routine(routine, context)
        built.append((routine, context))
    if errors is not None and not errors:
        for routine, context in built:
            check_routine(routine, context)
    return Program({routine.name: routine for routine, _ in built}, frozenset(linker.used))


def _routine_sources(root: DocumentNode, context: BuildContext) -> dict[str, _RoutineSource]:
    """Return the routines of either shape: a list of steps, or a map of main and subworkflows."""
    if isinstance(root, Sequence):
        return {_MAIN: _RoutineSource((), root)}
    if isinstance(root, Scalar):
        kind = "null" if root.value is None else type_name(root.value)
        raise SourceError(
            f"parse error: expected a map of workflows or a sequence of steps; got {kind}",
            line=root.position.line,
            column=root.position.column,
            source=context.source,
        )
    document = context.mapping(root, "a workflow definition")
    context.required(document, _MAIN, "a workflow definition")
    return {entry.key: _routine_source(entry.key, entry.value, context) for entry in document.entries}


def _routine_source(name: str, node: DocumentNode, context: BuildContext) -> _RoutineSource:
    inside = BuildContext(context.source, context.linker, name)
    if not name:
        inside.fail("a sub-workflow needs a name", node.position)
    body = inside.mapping(node, "a workflow")
    inside.check_keys(body, ("params", "steps"), "a workflow")
    params = body.get("params")
    parameters = _parameters(params.value, inside) if params else ()
    return _RoutineSource(parameters, inside.required(body, "steps", "a workflow").value)


def _parameters(node: DocumentNode, context: BuildContext) -> tuple[RoutineParameter, ...]:
    if isinstance(node, Scalar) and node.value is None:
        return ()
    parameters = tuple(_parameter(item, context) for item in context.sequence(node, "params").items)
    names = [parameter.name for parameter in parameters]
    if len(set(names)) != len(names):
        context.fail("two parameters have the same name", node.position)
    if context.routine == _MAIN and (len(parameters) > 1 or not all(each.is_required for each in parameters)):
        context.fail("main takes at most one parameter, without a default", node.position)
    if len(parameters) > MAX_PARAMETERS:
        context.fail(f"a sub-workflow takes at most {MAX_PARAMETERS} parameters", node.position)
    return parameters


def _parameter(node: DocumentNode, context: BuildContext) -> RoutineParameter:
    if not isinstance(node, Mapping):
        return RoutineParameter(context.name(node, "a parameter"), is_required=True)
    if len(node.entries) != 1:
        context.fail("a parameter is a name or a map of one name to its default", node.position)
    entry = node.entries[0]
    name = context.name(Scalar(entry.key, entry.key, entry.key_position), "a parameter")
    default = context.template(entry.value, "parameter default")
    if not default.is_constant or default.now is None:
        context.fail("a parameter's default must be a literal value", entry.value.position)
    return RoutineParameter(name, is_required=False, default=default.now(None))
