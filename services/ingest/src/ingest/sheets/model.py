"""What a sheet is once it has been read, and how its faults are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_LISTED_PROBLEMS = 1000
_SHOWN_VALUE_CHARS = 200


class ProblemCode(StrEnum):
    """Why a sheet was refused, or what its owner should know."""

    SHEET_EMPTY = "SHEET_EMPTY"
    SHEET_ENCODING = "SHEET_ENCODING"
    SHEET_TOO_LARGE = "SHEET_TOO_LARGE"
    NOT_A_CSV = "NOT_A_CSV"
    CSV_SYNTAX = "CSV_SYNTAX"
    FIELD_TOO_LONG = "FIELD_TOO_LONG"
    NO_ROWS = "NO_ROWS"
    TOO_MANY_ROWS = "TOO_MANY_ROWS"
    TOO_MANY_COLUMNS = "TOO_MANY_COLUMNS"
    TOO_MANY_IMAGES = "TOO_MANY_IMAGES"
    TOO_MANY_URLS = "TOO_MANY_URLS"
    MISSING_COLUMN = "MISSING_COLUMN"
    AMBIGUOUS_COLUMN = "AMBIGUOUS_COLUMN"
    DUPLICATE_HEADER = "DUPLICATE_HEADER"
    SHORT_ROW = "SHORT_ROW"
    LONG_ROW = "LONG_ROW"
    NUL_CHARACTER = "NUL_CHARACTER"
    URL_INVALID = "URL_INVALID"
    URL_FORBIDDEN = "URL_FORBIDDEN"
    NO_URLS = "NO_URLS"
    AMBIGUOUS_URLS = "AMBIGUOUS_URLS"
    EXTRA_EMPTY_CELLS = "EXTRA_EMPTY_CELLS"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault or warning; `row` counts as a spreadsheet does (header = 1), None is the whole sheet."""

    row: int | None
    column: str | None
    code: ProblemCode
    message: str
    value: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return `{"row": 3, "column": "Product Name", "code": "...", "message": "...", "value": "..."}`."""
        value = self.value
        if value is not None and len(value) > _SHOWN_VALUE_CHARS:
            value = value[:_SHOWN_VALUE_CHARS] + "…"
        return {
            "row": self.row,
            "column": self.column,
            "code": self.code.value,
            "message": self.message,
            "value": None if value is None else value.replace("\x00", "\\0"),
        }


@dataclass(slots=True)
class ProblemList:
    """Collects problems: the first 1000 are kept, all are counted."""

    listed: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, problem: Problem) -> None:
        """Count a problem and keep it while there is room."""
        self.count += 1
        if len(self.listed) < MAX_LISTED_PROBLEMS:
            self.listed.append(problem)

    def to_json(self) -> dict[str, Any]:
        """Return `{"problems": [...], "problem_count": 1200, "problems_listed": 1000}`."""
        return {
            "problems": [problem.to_json() for problem in self.listed],
            "problem_count": self.count,
            "problems_listed": len(self.listed),
        }


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column plays which role, by index from 0."""

    serial: int | None
    name: int | None
    urls: tuple[int, ...]
    output: int | None
    errors: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the form of workflows/contracts/export_batch.schema.json."""
        return {
            "serial": self.serial,
            "name": self.name,
            "urls": list(self.urls),
            "output": self.output,
            "errors": self.errors,
        }


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row: its number in the spreadsheet, every cell as it came, and the image links in slot order."""

    number: int
    serial: str
    name: str
    cells: tuple[str, ...]
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the bytes were read."""

    encoding: str
    bom: bool
    delimiter: str

    def to_json(self) -> dict[str, Any]:
        """Return e.g. `{"encoding": "utf-8", "bom": false, "delimiter": ","}`."""
        return {"encoding": self.encoding, "bom": self.bom, "delimiter": self.delimiter}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet that can be worked on; it had no faults."""

    header: tuple[str, ...]
    columns: Columns
    dialect: Dialect
    rows: Sequence[SheetRow]
    image_count: int
    warnings: ProblemList


@dataclass(frozen=True, slots=True)
class SheetLimits:
    """How large a sheet may be."""

    max_bytes: int
    max_rows: int
    max_images: int
    max_urls_per_cell: int
    max_columns: int


class SheetError(Exception):
    """The sheet has faults; `problems` lists them all."""

    def __init__(self, problems: ProblemList) -> None:
        super().__init__(f"{problems.count} problems")
        self.problems = problems


def refuse(code: ProblemCode, message: str, *, row: int | None = None, value: str | None = None) -> SheetError:
    """Return the error of a sheet that cannot be read further."""
    problems = ProblemList()
    problems.add(Problem(row, None, code, message, value))
    return SheetError(problems)
