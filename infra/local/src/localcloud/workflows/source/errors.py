"""Why a source was refused: the error a deploy shows, with its position in the text.

Does not know about: the API that reports it, nor the execution of programs.
"""

from __future__ import annotations

_PARSE_ERROR = "parse error:"
_FILE = "main.yaml"
"""What production calls any source, in errors of its reading (recorded)."""


class SourceError(Exception):
    """A workflow source that cannot be deployed.

    `message` is what a failed deploy shows (it names routine and step), `line` and `column` are 1-based and
    `rendered` adds the offending line with a caret under the fault.
    """

    def __init__(self, message: str, *, line: int = 1, column: int = 1, source: str = "") -> None:
        if message.startswith(_PARSE_ERROR):
            message = f"{_FILE}:{line}:{column}: {message}"
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.rendered = _render(message, line=line, column=column, source=source)


def _render(message: str, *, line: int, column: int, source: str) -> str:
    lines = source.splitlines()
    if not 1 <= line <= len(lines):
        return message
    text = lines[line - 1].replace("\t", " ")
    gutter = f"{line} | "
    return f"{message}\n{gutter}{text}\n{' ' * (len(gutter) + column - 1)}^"
