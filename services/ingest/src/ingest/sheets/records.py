"""Text to records: how lines become rows of cells.

Three layouts are read: plain CSV, CSV whose every line stands in one pair of double quotes, and the pipe tables of
README files. Which one a sheet has is found in `ingest.sheets.layout`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, TextIO

from chassis.limited import Limited
from ingest.sheets.decoding import SheetText
from ingest.sheets.model import Dialect, Layout, Problem, ProblemCode, ProblemList

DELIMITERS = (",", ";", "\t", "|")
"""The characters that may part cells; the first one wins where all fit equally."""

MAX_FIELD_CHARS: Annotated[
    int,
    Limited(
        "characters",
        "400 `SHEET_INVALID` with `FIELD_TOO_LONG` and the row",
        "Longest cell of a sheet",
        name="max_field_characters",
    ),
] = 131_072
"""Most characters of one cell; that of Python's `csv` module, which belongs to the process and may be higher."""

MAX_RECORD_CHARS: Annotated[
    int,
    Limited(
        "characters",
        "400 `SHEET_INVALID` with `ROW_TOO_LONG` and the row",
        "Longest row of a sheet",
        name="max_row_characters",
    ),
] = 1_048_576
"""Most characters of one row: a file that is one endless row would become a list of millions of cells."""

_ESCAPED = re.compile(r'\\(["\\])')
_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one row with its number as a spreadsheet counts; `links` when the sender listed them one by one."""

    number: int
    cells: list[str]
    links: tuple[str, ...] | None = None


class RecordSource(Protocol):
    """Where records come from: a file, or a list of items. The first record is the header."""

    @property
    def dialect(self) -> Dialect:
        """Return how the records were found."""
        ...

    def records(self, problems: ProblemList) -> Iterator[Record]:
        """Yield the records from the first; may be called again. A fault that ends the sheet goes to `problems`."""
        ...


@dataclass(frozen=True, slots=True)
class SheetFile:
    """A sheet's text and how to take it apart; `escaped` when backslashes stand before quotes in its cells."""

    text: SheetText
    dialect: Dialect
    has_separator_line: bool
    escaped: bool = False

    def records(self, problems: ProblemList) -> Iterator[Record]:
        """Yield the records from the header; a syntax error is a problem and ends the sheet."""
        with self.text.open() as stream:
            if self.has_separator_line:
                # Excel does not show this line, so its row numbers begin behind it.
                stream.readline()
            if self.dialect.layout is Layout.PIPE_TABLE:
                yield from _table_records(stream, problems)
            else:
                yield from csv_records(stream, self.dialect.delimiter, problems, escaped=self.escaped)


def unpacked(cells: Sequence[str], delimiter: str) -> list[str] | None:
    """Return the cells of a line that stands in double quotes as a whole; None when it does not."""
    if len(cells) != 1 or delimiter not in cells[0]:
        return None
    try:
        found = list(csv.reader(io.StringIO(cells[0], newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return found[0] if len(found) == 1 and len(found[0]) > 1 else None


def is_table_rule(line: str) -> bool:
    """Return whether a line is the rule below the titles of a pipe table, e.g. `|---|:--:|`."""
    bare = line.strip()
    if "--" not in bare[:200]:
        return False
    parts = [part.strip() for part in bare.removeprefix("|").removesuffix("|").split("|")]
    return len(parts) > 1 and all(_is_rule_cell(part) for part in parts)


def _is_rule_cell(part: str) -> bool:
    dashes = part.removeprefix(":").removesuffix(":")
    return len(dashes) > 1 and not dashes.strip("-")


def csv_records(stream: TextIO, delimiter: str, problems: ProblemList, *, escaped: bool = False) -> Iterator[Record]:
    """Yield records; `strict` refuses an unclosed quote, which otherwise swallows the rest of the file as one field.

    It refuses text after a closing quote too. A quote inside an unquoted field is kept as it is: it can mean only one
    thing. With `escaped` a backslash before a quote or a backslash is that of an escape, as MySQL writes it.
    """
    lines = _Lines(stream, escaped=escaped)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        lines.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _RecordTooLongError:
            problems.add(_too_long(number))
            return
        except csv.Error as error:
            problems.add(_syntax_problem(number, reader.line_num, str(error), lines.last))
            return
        if lines.taken_chars > MAX_FIELD_CHARS and any(len(cell) > MAX_FIELD_CHARS for cell in cells):
            problems.add(_field_too_long(number))
            return
        yield Record(number, cells)


class _RecordTooLongError(Exception):
    """A row has more than `MAX_RECORD_CHARS` characters."""


class _Lines:
    """The lines of a text, of which those of one record together are bounded."""

    def __init__(self, stream: TextIO, *, escaped: bool = False) -> None:
        self._stream = stream
        self._room = MAX_RECORD_CHARS
        self._escaped = escaped
        self.last = ""

    def begin_record(self) -> None:
        """Give the next record the whole room."""
        self._room = MAX_RECORD_CHARS

    @property
    def taken_chars(self) -> int:
        """Return how many characters the present record has had so far."""
        return MAX_RECORD_CHARS - self._room

    def __iter__(self) -> Iterator[str]:
        """Return itself."""
        return self

    def __next__(self) -> str:
        """Return the next line with its end."""
        line = self._stream.readline(self._room + 1)
        if not line:
            raise StopIteration
        self._room -= len(line)
        if self._room < 0:
            raise _RecordTooLongError
        if self._escaped and "\\" in line:
            line = _ESCAPED.sub(_unescaped, line)
        self.last = line
        return line


def _unescaped(found: re.Match[str]) -> str:
    return '""' if found[1] == '"' else "\\"


def _table_records(stream: TextIO, problems: ProblemList) -> Iterator[Record]:
    lines = _Lines(stream)
    number = 0
    while True:
        number += 1
        lines.begin_record()
        try:
            line = next(lines)
        except StopIteration:
            return
        except _RecordTooLongError:
            problems.add(_too_long(number))
            return
        bare = line.strip()
        if is_table_rule(bare):
            continue
        inner = bare.removeprefix("|")
        if inner.endswith("|") and not inner.endswith("\\|"):
            inner = inner[:-1]
        yield Record(number, [cell.strip().replace("\\|", "|") for cell in _BAR.split(inner)] if bare else [])


def _too_long(number: int) -> Problem:
    return Problem(number, None, ProblemCode.ROW_TOO_LONG, f"The row has more than {MAX_RECORD_CHARS} characters.")


def _field_too_long(number: int) -> Problem:
    return Problem(number, None, ProblemCode.FIELD_TOO_LONG, f"A cell has more than {MAX_FIELD_CHARS} characters.")


def _syntax_problem(number: int, line: int, error: str, text: str) -> Problem:
    if "field larger" in error:
        return _field_too_long(number)
    code = ProblemCode.CSV_SYNTAX
    if "end of data" in error:
        message = "A double quote is opened in this row and never closed."
    elif "expected after" in error:
        message = "There is text behind a closing double quote; double the quote inside a quoted cell."
        if '\\"' in text:
            code = ProblemCode.BACKSLASH_QUOTES
            message = 'A backslash stands before a double quote (\\"); write the quote twice instead ("").'
    else:
        message = f"The row is not valid CSV: {error}."
    return Problem(number, None, code, f"{message} (Line {line} of the file.)")
