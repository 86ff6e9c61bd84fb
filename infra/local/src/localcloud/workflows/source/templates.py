"""Values of a source that may hold expressions at any depth, compiled.

Does not know about: steps; it gets a linker for the calls inside expressions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localcloud.workflows import values
from localcloud.workflows.errors import Position, WorkflowError
from localcloud.workflows.expr.evaluator import Code, Linker, RunLater, RunNow, code_that_runs_now, compile_expression
from localcloud.workflows.expr.nodes import Node
from localcloud.workflows.expr.parser import parse_expression
from localcloud.workflows.expr.tokens import ExpressionError
from localcloud.workflows.limits import MAX_EXPRESSION_CHARACTERS
from localcloud.workflows.source.document import DocumentNode, Entry, Mapping, Scalar, Sequence
from localcloud.workflows.values import Value

_PREFIX, _SUFFIX = "${", "}"


@dataclass(frozen=True, slots=True)
class SourceExpression:
    """A parsed expression with its position; the offsets of its nodes count from `offset` characters after it."""

    node: Node
    position: Position
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """A value to be evaluated in a scope.

    `now` is None when an expression in it calls a subworkflow; `expressions` are its parsed expressions with their
    places; `is_constant` means that `now` ignores the scope.
    """

    position: Position
    now: RunNow | None
    later: RunLater
    expressions: tuple[SourceExpression, ...]
    is_constant: bool


class TemplateError(Exception):
    """An expression inside a value that cannot be deployed; `offset` counts characters from `position`."""

    def __init__(self, message: str, position: Position, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.offset = offset


def is_expression(text: str) -> bool:
    """Return whether a string is one whole expression; `hello-${x}` is not, it stays text."""
    stripped = text.strip()
    return stripped.startswith(_PREFIX) and stripped.endswith(_SUFFIX)


def expression_text(text: str) -> str:
    """Return what stands between `${` and the last `}`."""
    return text.strip()[len(_PREFIX) : -len(_SUFFIX)]


def constant(value: Value, position: Position) -> Template:
    """Return the template of a fixed value."""
    code = code_that_runs_now(lambda _: value)
    return Template(position, code.now, code.later, (), is_constant=True)


def compile_template(node: DocumentNode, linker: Linker) -> Template:
    """Compile a value of the source.

    Raises:
        TemplateError: an expression in it does not parse or link.
    """
    match node:
        case Scalar(value=str() as text) if is_expression(text):
            return compile_expression_text(expression_text(text), node.position, linker, offset=len(_PREFIX))
        case Scalar():
            return constant(node.value, node.position)
        case Sequence():
            parts = [compile_template(item, linker) for item in node.items]
            return _combine(parts, list, node.position)
        case Mapping():
            keys = [_compile_key(entry, linker) for entry in node.entries]
            parts = [compile_template(entry.value, linker) for entry in node.entries]
            return _combine([*keys, *parts], _map_of, node.position)


def compile_expression_text(text: str, position: Position, linker: Linker, *, offset: int = 0) -> Template:
    """Compile an expression that stands at `position`, `offset` characters after its beginning.

    Raises:
        TemplateError: it is too long, or does not parse or link.
    """
    if len(text) + len(_PREFIX) + len(_SUFFIX) > MAX_EXPRESSION_CHARACTERS:
        raise TemplateError(f"expression is longer than {MAX_EXPRESSION_CHARACTERS} characters", position)
    try:
        node = parse_expression(text)
        code = compile_expression(node, linker)
    except ExpressionError as error:
        raise TemplateError(error.message, position, offset + error.offset) from None
    expressions = (SourceExpression(node, position, offset),)
    return Template(position, *_placed(code, position), expressions, is_constant=False)


def _placed(code: Code, position: Position) -> tuple[RunNow | None, RunLater]:
    """Return the code, whose errors get their position in the source."""
    run = code.now
    later = code.later
    if run is not None:

        def now(environment: Any) -> Value:
            try:
                return run(environment)
            except WorkflowError as error:
                error.position = error.position or position
                raise

        placed = code_that_runs_now(now)
        return placed.now, placed.later

    async def wait(environment: Any) -> Value:
        try:
            return await later(environment)
        except WorkflowError as error:
            error.position = error.position or position
            raise

    return None, wait


def _compile_key(entry: Entry, linker: Linker) -> Template:
    if not is_expression(entry.key):
        return constant(entry.key, entry.key_position)
    return compile_expression_text(expression_text(entry.key), entry.key_position, linker, offset=len(_PREFIX))


def _map_of(parts: list[Value]) -> Value:
    half = len(parts) // 2
    return dict(zip((values.checked_map_key(key) for key in parts[:half]), parts[half:], strict=True))


def _combine(parts: list[Template], build: Callable[[list[Value]], Value], position: Position) -> Template:
    """Return the template of a container; one without expressions is built once."""
    ready = [part.now for part in parts if part.now is not None]
    expressions = tuple(expression for part in parts for expression in part.expressions)
    if len(ready) < len(parts):
        waiting = [part.later for part in parts]

        async def later(environment: Any) -> Value:
            return build([await part(environment) for part in waiting])

        return Template(position, None, later, expressions, is_constant=False)
    if all(part.is_constant for part in parts):
        return constant(build([run(None) for run in ready]), position)
    code = code_that_runs_now(lambda environment: build([run(environment) for run in ready]))
    return Template(position, code.now, code.later, expressions, is_constant=False)
