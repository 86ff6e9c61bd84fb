"""A source with line numbers, and marks with carets where something failed or runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localcloud.workflows.pages.markup import Child, Markup, h

_CONTEXT_LINES = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in the source that is marked.

    Attributes:
        line: 1-based.
        kind: `failed` or `running`: how it is coloured.
        note: what to say beside it.
        column: 1-based, in characters; 0 marks the line only.
        length: of the marked text, in bytes.
    """

    line: int
    kind: str
    note: str
    column: int = 0
    length: int = 0


def source_view(source: str, marks: Sequence[Mark]) -> Markup:
    """Return the whole source, every line linkable as `#L12`."""
    lines = source.splitlines()
    return _block(range(1, len(lines) + 1), lines, marks, anchors=True, label="Source")


def source_excerpt(source: str, mark: Mark) -> Markup | None:
    """Return the lines around a mark, or None when the source has no such line."""
    lines = source.splitlines()
    if not 1 <= mark.line <= len(lines):
        return None
    numbers = range(max(1, mark.line - _CONTEXT_LINES), min(len(lines), mark.line + _CONTEXT_LINES) + 1)
    return _block(numbers, lines, [mark], anchors=False, label=f"Source around line {mark.line}")


def line_link(line: int) -> Markup:
    """Return a link to a line of the page's source view."""
    return h("a", f"line {line}", href=f"#L{line}")


def _block(numbers: Sequence[int], lines: Sequence[str], marks: Sequence[Mark], *, anchors: bool, label: str) -> Markup:
    by_line: dict[int, list[Mark]] = {}
    for mark in marks:
        by_line.setdefault(mark.line, []).append(mark)
    shown = [_line(number, lines[number - 1], by_line, anchors=anchors) for number in numbers]
    return h("pre", h("code", shown), class_="source", tabindex="0", role="region", aria_label=label)


def _line(number: int, text: str, by_line: Mapping[int, Sequence[Mark]], *, anchors: bool) -> Child:
    marks = by_line.get(number, ())
    kind = f"line {marks[0].kind}" if marks else "line comment" if text.lstrip().startswith("#") else "line"
    label = h("a", number, href=f"#L{number}", class_="number") if anchors else h("span", number, class_="number")
    carets = [h("span", _caret(mark, text), class_=f"caret {mark.kind}") for mark in marks]
    return [h("span", label, h("span", text, "\n"), class_=kind, id=f"L{number}" if anchors else None), carets]


def _caret(mark: Mark, text: str) -> str:
    if not mark.column:
        indent = len(text) - len(text.lstrip())
        return f"{' ' * indent}↑ {mark.note}\n"
    rest = text.encode()[len(text[: mark.column - 1].encode()) :][: mark.length]
    width = max(1, len(rest.decode(errors="ignore")))
    return f"{' ' * (mark.column - 1)}{'^' * width} {mark.note}\n"
