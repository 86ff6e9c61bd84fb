"""YAML and JSON text composed to nodes with their positions, by the YAML 1.2 core schema.

Built from libyaml's events without recursion, so hostile nesting is refused rather than overflowing a stack. Dates,
`yes`, `on` and `1:30` stay strings. Does not know about: steps and expressions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from localcloud.workflows.errors import Position
from localcloud.workflows.source.errors import SourceError
from localcloud.workflows.values import INTEGER_MAX, INTEGER_MIN

MAX_DEPTH = 100
"""How deep a source may nest; not documented, far above anything written by hand."""

FEWEST_NODES = 10_000
"""How many nodes any source may unfold to by its aliases; a longer one may have as many as it has characters.

So aliases cost no more than the same text written out: the time of a deploy stays in proportion to the source.
"""

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_DOUBLE = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_JSON_ESCAPE = re.compile(
    r"\\(?:u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u(?P<lone>[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
_BARE_IN_FLOW = re.compile(r"[\[{,]\s*(\w+:\s*)?\$\{")
_BARE = re.compile(r"[:-]\s+\$\{")
_COLON = re.compile(r":\s")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; `text` is what was written, without quotes and with folded lines."""

    value: bool | int | float | str | None
    text: str
    position: Position


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[DocumentNode, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping; scalar keys of any type are their text."""

    key: str
    key_position: Position
    value: DocumentNode


@dataclass(frozen=True, slots=True)
class Mapping:
    """A map with its entries in the order written."""

    entries: tuple[Entry, ...]
    position: Position

    def get(self, key: str) -> Entry | None:
        """Return the entry of `key`, if any."""
        return next((entry for entry in self.entries if entry.key == key), None)


DocumentNode = Scalar | Sequence | Mapping


def compose(source: str) -> DocumentNode:
    """Compose the one document of `source`.

    Raises:
        SourceError: not YAML, not exactly one document, or a construct that a workflow source cannot have.
    """
    text = _yaml_from_json(source)
    try:
        return _Composer(text).compose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = f"parse error: {error.problem or error}{_hint(text, line)}"
        raise SourceError(message, line=line, column=column, source=source) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise SourceError(f"parse error: {error}", source=source) from None


def _hint(text: str, line: int) -> str:
    """Return advice for the two mistakes that expressions invite."""
    lines = text.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    if _BARE_IN_FLOW.search(written):
        return '; an expression inside [] or {} needs quotes, as in ["${x}"]'
    bare = _BARE.search(written)
    if bare is not None and _COLON.search(written, bare.end()):
        return "; an expression with ': ' in it needs quotes, as in '${\"a: \" + x}'"
    return ""


def _yaml_from_json(source: str) -> str:
    """Return a JSON source without what YAML does not take from JSON; any other source as it is.

    JSON may be indented with tabs (inside a string it has no raw ones), and writes characters beyond the basic plane
    as two escapes.
    """
    if source.lstrip()[:1] not in ("{", "["):
        return source
    try:
        json.loads(source)
    except (ValueError, RecursionError):
        return source
    return _JSON_ESCAPE.sub(_joined_surrogates, source.replace("\t", " "))


def _joined_surrogates(escape: re.Match[str]) -> str:
    high, low, lone = escape["high"], escape["low"], escape["lone"]
    if high:
        return bytes.fromhex(high + low).decode("utf-16-be")
    return "\N{REPLACEMENT CHARACTER}" if lone else escape.group()


@dataclass(slots=True)
class _Open:
    """A list or map whose end was not seen yet."""

    start: Any
    is_mapping: bool
    anchor: str | None
    children: list[DocumentNode]


class _Composer:
    def __init__(self, source: str) -> None:
        self._source = source
        self._line_starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", source))]
        self._anchors: dict[str, DocumentNode] = {}
        self._sizes: dict[int, int] = {}
        self._count = 0
        self._most_nodes = max(FEWEST_NODES, len(source))

    def compose(self) -> DocumentNode:
        """Read all events and return the root."""
        root: DocumentNode | None = None
        for node in self._nodes():
            if root is not None:
                raise self._error("a source holds one document", node.position)
            root = node
        if root is None:
            raise SourceError("parse error: the source is empty", source=self._source)
        return root

    def _nodes(self) -> Iterator[DocumentNode]:
        """Yield the root node of every document."""
        stack: list[_Open] = []
        for event in yaml.parse(self._source, Loader=yaml.CSafeLoader):
            match event:
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._check_tag(event)
                    is_mapping = isinstance(event, yaml.MappingStartEvent)
                    stack.append(_Open(event.start_mark, is_mapping, event.anchor, []))
                    if len(stack) > MAX_DEPTH:
                        raise self._error(f"nested deeper than {MAX_DEPTH} levels", self._place(event))
                    continue
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    node = self._close(stack.pop(), event.end_mark)
                case yaml.ScalarEvent():
                    node = self._scalar(event)
                    self._remember(event.anchor, node, 1)
                case yaml.AliasEvent():
                    node = self._alias(event)
                case _:
                    continue
            if stack:
                stack[-1].children.append(node)
            else:
                yield node

    def _close(self, opened: _Open, end: Any) -> DocumentNode:
        position = self._span(opened.start, end)
        node: DocumentNode
        if opened.is_mapping:
            node = Mapping(self._entries(opened.children), position)
        else:
            node = Sequence(tuple(opened.children), position)
        self._remember(opened.anchor, node, 1 + sum(self._sizes[id(child)] for child in opened.children))
        return node

    def _entries(self, children: list[DocumentNode]) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        seen: set[str] = set()
        for key, value in zip(children[::2], children[1::2], strict=True):
            if not isinstance(key, Scalar):
                raise self._error("a key must be a single value", key.position)
            if key.text == "<<":
                raise self._error("merge keys are not supported", key.position)
            if key.text in seen:
                raise self._error(f"key '{key.text}' appears twice", key.position)
            seen.add(key.text)
            entries.append(Entry(key.text, key.position, value))
        return tuple(entries)

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        position = self._span(event.start_mark, event.end_mark, quotes=1 if event.style in ("'", '"') else 0)
        text = event.value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if event.tag == "tag:yaml.org,2002:str" or event.tag == "!":
            return Scalar(text, text, position)
        self._check_tag(event)
        if event.implicit[0]:
            return Scalar(self._resolve(text, position), text, position)
        return Scalar(text, text, position)

    def _resolve(self, text: str, position: Position) -> bool | int | float | str | None:
        if _NULL.fullmatch(text):
            return None
        if _BOOLEAN.fullmatch(text):
            return text.lower() == "true"
        if _INTEGER.fullmatch(text) or _BASED_INTEGER.fullmatch(text):
            # Beyond 64 bits by far: not worth handing to int().
            number = int(text, 0 if text[:2] in ("0o", "0x") else 10) if len(text) < 40 else INTEGER_MAX + 1
            if not INTEGER_MIN <= number <= INTEGER_MAX:
                raise self._error(f"integer does not fit 64 bits: {text}", position)
            return number
        if _DOUBLE.fullmatch(text):
            return self._finite(float(text), text, position)
        if _NOT_FINITE.fullmatch(text):
            raise self._error(f"number has no JSON form: {text}", position)
        return text

    def _finite(self, number: float, text: str, position: Position) -> float:
        if number in (float("inf"), float("-inf")):
            raise self._error(f"number out of range: {text}", position)
        return number

    def _alias(self, event: yaml.AliasEvent) -> DocumentNode:
        if event.anchor not in self._anchors:
            raise self._error(f"unknown alias '*{event.anchor}'", self._place(event))
        node = self._anchors[event.anchor]
        self._count_nodes(self._sizes[id(node)], node)
        return node

    def _remember(self, anchor: str | None, node: DocumentNode, size: int) -> None:
        self._sizes[id(node)] = size
        self._count_nodes(1, node)
        if anchor is not None:
            self._anchors[anchor] = node

    def _count_nodes(self, count: int, node: DocumentNode) -> None:
        self._count += count
        if self._count > self._most_nodes:
            raise self._error("aliases unfold to too many nodes", node.position)

    def _check_tag(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._error(f"tag '{tag}' is not supported", self._place(event))

    def _place(self, event: yaml.Event) -> Position:
        return self._span(event.start_mark, event.end_mark)

    def _span(self, start: Any, end: Any, quotes: int = 0) -> Position:
        first = self._offset(start) + quotes
        last = max(first, self._offset(end) - quotes)
        length = len(self._source[first:last].encode("utf-8", "replace"))
        return Position(start.line + 1, start.column + 1 + quotes, length)

    def _offset(self, mark: Any) -> int:
        line = min(int(mark.line), len(self._line_starts) - 1)
        return self._line_starts[line] + int(mark.column)

    def _error(self, message: str, position: Position) -> SourceError:
        return SourceError(f"parse error: {message}", line=position.line, column=position.column, source=self._source)
