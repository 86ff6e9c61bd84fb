"""Reads Terraform's language as far as our own files use it; what it does not know it refuses with file and line.

A block is type, labels, arguments and inner blocks. A value that is written out (string, number, bool, list, object) is
read as such; anything computed stays text, an `Expression`. It evaluates nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*|//[^\n]*|/\*.*?\*/)
      | (?P<newline>\n)
      | (?P<space>[ \t\r]+)
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<name>[A-Za-z_][\w-]*)
      | (?P<mark>=>|==|!=|<=|>=|&&|\|\||\.\.\.|[-+*/%!?:.,=<>(){}\[\]])""",
    re.VERBOSE | re.DOTALL,
)


class HclError(Exception):
    """The text is not what this reader knows."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A value that Terraform would compute, as it is written."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """`type "label" "label" { ... }`."""

    type: str
    labels: tuple[str, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def inner(self, block_type: str) -> list[Block]:
        """Return the inner blocks of a type."""
        return [block for block in self.blocks if block.type == block_type]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


def read_folder(folder: Path) -> list[Block]:
    """Return the top-level blocks of every `.tf` file directly in a folder.

    Raises:
        HclError: with file and line.
    """
    blocks: list[Block] = []
    for path in sorted(folder.glob("*.tf")):
        try:
            blocks += read(path.read_text(encoding="utf-8"))
        except HclError as error:
            message = f"{path.name}: {error}"
            raise HclError(message) from error
    return blocks


def read(text: str) -> list[Block]:
    """Return the top-level blocks of a file.

    Raises:
        HclError: with the line.
    """
    parser = _Parser(list(_tokens(text)))
    return parser.body(end="").blocks


def _string_end(text: str, start: int) -> int:
    """Return the place behind the string that begins at `start`, templates included."""
    place = start + 1
    while place < len(text):
        match text[place]:
            case "\\":
                place += 2
            case '"':
                return place + 1
            case "$" if text.startswith("${", place) and not text.startswith("$${", place - 1):
                depth, place = 1, place + 2
                while depth:
                    if place >= len(text):
                        break
                    match text[place]:
                        case '"':
                            place = _string_end(text, place)
                            continue
                        case "{":
                            depth += 1
                        case "}":
                            depth -= 1
                    place += 1
            case _:
                place += 1
    message = "a string does not end"
    raise HclError(message)


def _tokens(text: str) -> Iterator[_Token]:
    place, line = 0, 1
    while place < len(text):
        if text[place] == '"':
            end = _string_end(text, place)
            yield _Token("string", text[place:end], line)
        else:
            found = _TOKEN.match(text, place)
            if found is None:
                message = f"line {line}: {text[place : place + 20]!r} is not understood"
                raise HclError(message)
            end = found.end()
            if found.lastgroup not in {"comment", "space"}:
                yield _Token(str(found.lastgroup), found[0], line)
        line += text.count("\n", place, end)
        place = end
    yield _Token("end", "", line)


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0

    def _peek(self) -> _Token:
        return self._tokens[self._place]

    def _take(self, text: str | None = None) -> _Token:
        token = self._peek()
        if text is not None and token.text != text:
            message = f"line {token.line}: {text!r} expected, {token.text!r} found"
            raise HclError(message)
        self._place += 1
        return token

    def _skip_newlines(self) -> None:
        while self._peek().kind == "newline":
            self._place += 1

    def body(self, *, end: str, block_type: str = "", labels: tuple[str, ...] = ()) -> Block:
        block = Block(block_type, labels)
        while True:
            self._skip_newlines()
            token = self._take()
            if token.text == end:
                return block
            if token.kind != "name":
                message = f"line {token.line}: a name expected, {token.text!r} found"
                raise HclError(message)
            if self._peek().text == "=":
                self._take()
                block.arguments[token.text] = self._value({"\n", "}", ""})
            else:
                inner = []
                while self._peek().kind in {"string", "name"}:
                    inner.append(self._take().text.strip('"'))
                self._take("{")
                block.blocks.append(self.body(end="}", block_type=token.text, labels=tuple(inner)))

    def _value(self, ends: set[str]) -> Any:
        start = self._place
        written = self._written()
        if written is not None and self._peek().text in ends:
            return written[0]
        self._place = start
        return Expression(self._raw(ends))

    def _written(self) -> tuple[Any] | None:
        """Return a value that is written out, in a tuple, or None."""
        token = self._take()
        match token.kind, token.text:
            case "string", text if "${" not in text:
                return (text[1:-1].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\"),)
            case "number", text:
                return (float(text) if "." in text else int(text),)
            case "name", "true" | "false" | "null":
                return ({"true": True, "false": False, "null": None}[token.text],)
            case "mark", "[":
                return self._list()
            case "mark", "{":
                return self._object()
        return None

    def _list(self) -> tuple[list[Any]] | None:
        items: list[Any] = []
        while True:
            self._skip_newlines()
            if self._peek().text == "]":
                self._take()
                return (items,)
            if self._peek().text == "for":
                return None
            items.append(self._value({",", "]", "\n"}))
            self._skip_newlines()
            if self._peek().text == ",":
                self._take()

    def _object(self) -> tuple[dict[str, Any]] | None:
        items: dict[str, Any] = {}
        while True:
            self._skip_newlines()
            if self._peek().text == "}":
                self._take()
                return (items,)
            key = self._take()
            if key.text == "for" or key.kind not in {"name", "string"} or self._take().text not in {"=", ":"}:
                return None
            items[key.text.strip('"')] = self._value({",", "}", "\n"})
            if self._peek().text == ",":
                self._take()

    def _raw(self, ends: set[str]) -> str:
        parts: list[str] = []
        depth = 0
        while True:
            token = self._peek()
            if token.kind == "end" or (depth == 0 and token.text in ends):
                return " ".join(parts)
            depth += (token.text in {"(", "[", "{"}) - (token.text in {")", "]", "}"})
            if token.kind != "newline":
                parts.append(token.text)
            self._place += 1
