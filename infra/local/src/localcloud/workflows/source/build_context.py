"""What the builder works on: checked access to nodes, and errors that name routine, step and line.

Does not know about: the kinds of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from localcloud.workflows.errors import Position
from localcloud.workflows.expr.tokens import CONSTANTS, WORD_OPERATORS
from localcloud.workflows.source.document import DocumentNode, Entry, Mapping, Scalar, Sequence
from localcloud.workflows.source.errors import SourceError
from localcloud.workflows.source.linker import ProgramLinker
from localcloud.workflows.source.templates import Template, TemplateError, compile_template

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BuildContext:
    """The routine and step that are being built; errors name them and the source line."""

    source: str
    linker: ProgramLinker
    routine: str
    step: str | None = None
    errors: list[SourceError] | None = None
    """Where the errors of single steps are kept, when all of them are wanted; None ends at the first."""

    def in_step(self, step: str) -> BuildContext:
        """Return the context of a step of the same routine."""
        return BuildContext(self.source, self.linker, self.routine, step, self.errors)

    def attempt(self, act: Callable[[], T]) -> T | None:
        """Do `act` for one step and return what it returns, or None after an error that is kept.

        Raises:
            SourceError: errors are not kept.
        """
        if self.errors is None:
            return act()
        try:
            return act()
        except SourceError as error:
            self.errors.append(error)
            return None

    def fail(self, message: str, position: Position, *, offset: int = 0) -> NoReturn:
        """Refuse the source; `offset` counts characters from `position`.

        An offset that leaves the line, in an expression over several lines, is dropped: the expression is pointed at.

        Raises:
            SourceError: always. Example: `failed to build: error in step step2: ...` (the documented wording).
        """
        routine = "" if self.routine == "main" else f"error in sub-workflow {self.routine}: "
        step = "" if self.step is None else f"error in step {self.step}: "
        column = position.column + offset
        lines = self.source.splitlines()
        if position.line <= len(lines) and column > len(lines[position.line - 1]):
            column = position.column
        raise SourceError(
            f"failed to build: {routine}{step}{message}",
            line=position.line,
            column=column,
            source=self.source,
        )

    def template(self, node: DocumentNode, what: str) -> Template:
        """Compile a value; `what` names it in errors, e.g. `return value`."""
        try:
            return compile_template(node, self.linker)
        except TemplateError as error:
            self.fail(f"error evaluating {what}: {error.message}", error.position, offset=error.offset)

    def mapping(self, node: DocumentNode, what: str) -> Mapping:
        """Return the node as a map."""
        if not isinstance(node, Mapping):
            self.fail(f"{what} must be a map", node.position)
        return node

    def sequence(self, node: DocumentNode, what: str) -> Sequence:
        """Return the node as a list."""
        if not isinstance(node, Sequence):
            self.fail(f"{what} must be a list", node.position)
        return node

    def text(self, node: DocumentNode, what: str) -> str:
        """Return the node as a string."""
        if not isinstance(node, Scalar) or node.value is None:
            self.fail(f"{what} must be a string", node.position)
        return node.text

    def name(self, node: DocumentNode, what: str) -> str:
        """Return the node as the name of a variable: a letter or underscore, then letters, digits, underscores."""
        text = self.text(node, what)
        if not is_identifier(text):
            self.fail(f"{what} must be a variable name; got '{text}'", node.position)
        return text

    def check_keys(self, node: Mapping, allowed: Iterable[str], what: str) -> None:
        """Refuse keys that the construct does not have."""
        names = tuple(allowed)
        for entry in node.entries:
            if entry.key not in names:
                self.fail(f"unexpected key '{entry.key}' in {what}; known keys: {', '.join(names)}", entry.key_position)

    def required(self, node: Mapping, key: str, what: str) -> Entry:
        """Return the entry of a key that must be there."""
        entry = node.get(key)
        if entry is None:
            self.fail(f"{what} needs '{key}'", node.position)
        return entry


_RESERVED = frozenset(CONSTANTS) | frozenset(WORD_OPERATORS)


def is_identifier(text: str) -> bool:
    """Return whether a variable may be called so."""
    return text.isascii() and text.isidentifier() and text not in _RESERVED
