"""What a sheet is once it has been read, and how its faults are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from chassis.limited import Limited
from ingest.sheets.encodings import codec_of

MAX_LISTED_PROBLEMS: Annotated[
    int, Limited("problems", "the first ones, and `error_count`", "Problems of a sheet that are listed; all count")
] = 1000
_SHOWN_VALUE_CHARS = 200


class ProblemCode(StrEnum):
    """Why a sheet was refused, or what its owner should know."""

    SHEET_EMPTY = "SHEET_EMPTY"
    """The file has no bytes, or only blanks"""
    SHEET_ENCODING = "SHEET_ENCODING"
    """Not text in an encoding that is read, or damaged"""
    SHEET_TOO_LARGE = "SHEET_TOO_LARGE"
    """More bytes than `max_sheet_bytes`"""
    NOT_A_CSV = "NOT_A_CSV"
    """Another kind of file; the message names it"""
    CSV_SYNTAX = "CSV_SYNTAX"
    """A quote is not closed, or text follows a closing quote; the sheet is read up to there"""
    FIELD_TOO_LONG = "FIELD_TOO_LONG"
    """A cell has more than 131,072 characters"""
    ROW_TOO_LONG = "ROW_TOO_LONG"
    """A row has more than 1,048,576 characters; the sheet is read up to there"""
    NO_ROWS = "NO_ROWS"
    """There is a header and nothing else"""
    TOO_MANY_ROWS = "TOO_MANY_ROWS"
    """More than `max_rows`"""
    TOO_MANY_COLUMNS = "TOO_MANY_COLUMNS"
    """More than `max_columns`"""
    TOO_MANY_IMAGES = "TOO_MANY_IMAGES"
    """More than `max_images`"""
    TOO_MANY_URLS = "TOO_MANY_URLS"
    """A cell has more than `max_urls_per_cell`"""
    MISSING_COLUMN = "MISSING_COLUMN"
    """No column holds links of pictures, or none has the title that the request gives"""
    AMBIGUOUS_COLUMN = "AMBIGUOUS_COLUMN"
    """The request gives one column two roles"""
    DUPLICATE_HEADER = "DUPLICATE_HEADER"
    """Warning: two columns have the title of one role; the first one is used"""
    SHORT_ROW = "SHORT_ROW"
    """Warning: fewer cells than the header; the missing ones are empty. Row: its first cell is a link"""
    LONG_ROW = "LONG_ROW"
    """Row: more cells than the header, and no list of URLs that could be put back"""
    NUL_CHARACTER = "NUL_CHARACTER"
    """Row or header: a cell has a NUL"""
    URL_INVALID = "URL_INVALID"
    """Row: not an http or https URL, or too long"""
    URL_FORBIDDEN = "URL_FORBIDDEN"
    """Row: a URL with user name or password"""
    NO_URLS = "NO_URLS"
    """Warning: the row has no image"""
    AMBIGUOUS_URLS = "AMBIGUOUS_URLS"
    """Warning: a URL holds another one in its path or query and was kept as one"""
    LINKS_SPLIT = "LINKS_SPLIT"
    """Warning: something unusual stood between links (`~`, `<br>`, a JSON list, nothing); they were parted"""
    LINK_REPAIRED = "LINK_REPAIRED"
    """Warning: links were put right (blanks encoded, `&amp;` read, `https:` added ...); the value is the first one"""
    SHARE_LINK = "SHARE_LINK"
    """Warning: the share link of a drive; those of Google Drive and Dropbox are fetched by their direct form"""
    PAGE_LINK = "PAGE_LINK"
    """Warning: the link leads to a web page and not to a picture"""
    TEXT_IGNORED = "TEXT_IGNORED"
    """Warning: text beside links that is none was left out"""
    OPTION_INVALID = "OPTION_INVALID"
    """Row: a cell of an option's column holds no such option"""
    OUTPUT_REPLACED = "OUTPUT_REPLACED"
    """Warning, once: the column of outputs is filled; its cells will be replaced"""
    EXTRA_EMPTY_CELLS = "EXTRA_EMPTY_CELLS"
    """Warning: empty cells behind the last column were dropped"""
    ENCODING_ASSUMED = "ENCODING_ASSUMED"
    """Warning: the encoding was recognised; the value shows a word as it was read"""
    WORKBOOK_READ = "WORKBOOK_READ"
    """Warning: which sheet of an Excel workbook was read, and what is not in the result"""
    SPILLED_URLS = "SPILLED_URLS"
    """Warning: unquoted URLs were put back into their cell"""
    QUOTED_LINES = "QUOTED_LINES"
    """Warning: the quotes around whole lines were taken off"""
    PIPE_TABLE = "PIPE_TABLE"
    """Warning: read as a table with bars"""
    NO_NAME_COLUMN = "NO_NAME_COLUMN"
    """Warning: no column holds names of products; the rows have none"""
    NAME_IS_LINK = "NAME_IS_LINK"
    """Warning: a link stands where the name of the product should be"""
    PICTURES_NOT_USED = "PICTURES_NOT_USED"
    """Warning: a column that is not used holds links of pictures, or its title says pictures"""
    LINKS_MAY_BE_PAGES = "LINKS_MAY_BE_PAGES"
    """Warning: the links of the URL column do not look like those of pictures"""
    NO_OPTION = "NO_OPTION"
    """Warning: a column has the title of an option, and its cells cannot be one"""
    HEADER_FOUND = "HEADER_FOUND"
    """Warning: filled rows stand above the header; they are no part of the table"""
    LINE_LEFT_OUT = "LINE_LEFT_OUT"
    """Warning: a repeated header, a line of explanations or an end mark is no row"""
    BACKSLASH_QUOTES = "BACKSLASH_QUOTES"
    """Warning: quotes in cells have backslashes before them and were read; row: they cannot be read"""
    FOREIGN_QUOTES = "FOREIGN_QUOTES"
    """Warning: cells in quotes that CSV does not know (`“`, `«`, `'`) were put together"""


class Layout(StrEnum):
    """How the lines of a sheet are built; ITEMS is a list in JSON, which has no lines."""

    CSV = "csv"
    QUOTED_LINES = "quoted_lines"
    PIPE_TABLE = "pipe_table"
    ITEMS = "items"
    WORKBOOK = "workbook"


class OnInvalid(StrEnum):
    """What becomes of a sheet with bad rows: refuse it whole, or work on the good ones."""

    REJECT = "reject"
    SKIP = "skip"


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
        return {"row": self.row, **self.to_row_json()}

    def to_row_json(self) -> dict[str, Any]:
        """Return the problem as it is kept with its row: without the number."""
        value = self.value
        if value is not None and len(value) > _SHOWN_VALUE_CHARS:
            value = value[:_SHOWN_VALUE_CHARS] + "…"
        return {
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
    options: Mapping[str, int] = field(default_factory=dict)
    group: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form of workflows/contracts/export_batch.schema.json, which needs no columns of options."""
        return {
            "serial": self.serial,
            "name": self.name,
            "urls": list(self.urls),
            "output": self.output,
            "errors": self.errors,
        }


@dataclass(frozen=True, slots=True)
class ColumnReason:
    """A column by its index and title, the role or option that it plays or could play, and why."""

    role: str
    index: int
    title: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return `{"role": "urls", "column": 4, "title": "Bild", "reason": "..."}`; columns count from 1."""
        return {"role": self.role, "column": self.index + 1, "title": self.title, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found out about a table: the platform it comes from, the row of its header, and its columns."""

    platform: str | None = None
    header_row: int = 1
    reasons: tuple[ColumnReason, ...] = ()
    other_pictures: tuple[ColumnReason, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what `FindingsAnswer` describes."""
        return {
            "platform": self.platform,
            "header_row": self.header_row,
            "chosen": [reason.to_json() for reason in self.reasons],
            "other_pictures": [reason.to_json() for reason in self.other_pictures],
        }


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row: its number in the spreadsheet, every cell as it came, and the image links in slot order.

    `options` are those that the row sets for itself, e.g. `{"quality": 80}`. A row with `problems` has no links.
    `url_columns` are the columns of the slots, by index. A slot in `faults` holds a link that cannot be used; the
    others of its row can.
    """

    number: int
    serial: str
    name: str
    cells: tuple[str, ...]
    urls: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    url_columns: tuple[int, ...] = ()
    faults: Mapping[int, Problem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the bytes were read; how lines end and whether all cells stand in quotes, the report is written by."""

    encoding: str
    bom: bool
    delimiter: str
    layout: Layout = Layout.CSV
    line_end: str = "\r\n"
    quote_all: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return e.g. `{"encoding": "utf-8", "bom": false, "delimiter": ",", "layout": "csv"}`."""
        return {
            "encoding": self.encoding,
            "bom": self.bom,
            "delimiter": self.delimiter,
            "layout": self.layout.value,
        }

    def to_written(self, *, same_encoding: bool) -> dict[str, Any]:
        """Return how the report is written: as the sheet was, in UTF-8 unless the sheet's encoding is asked for."""
        is_csv = self.layout in {Layout.CSV, Layout.QUOTED_LINES}
        return {
            "encoding": self.encoding if same_encoding else "utf-8",
            "codec": codec_of(self.encoding) if same_encoding else "utf-8",
            "bom": self.bom if same_encoding else True,
            "delimiter": self.delimiter if is_csv else ",",
            "line_end": self.line_end,
            "quote_all": self.quote_all,
        }


@dataclass(frozen=True, slots=True)
class SheetFacts:
    """What was counted on the way through a sheet; rows with problems count as rows and have no images.

    `invalid_images` are slots whose links cannot be used; they count as images that have failed. `growing` are slots
    whose picture may become larger in the format that it is to get, by the ending of the link, e.g. `{".png": 12}`.
    """

    rows: int
    invalid_rows: int
    images: int
    unique_images: int
    unique_urls: int
    hosts: Mapping[str, int]
    invalid_images: int = 0
    growing: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet that can be worked on. `rows` reads the sheet anew each time, so that it is never in memory as a whole.

    `problems` is empty unless bad rows were to be skipped. `titles` is the header with its blanks.
    """

    header: tuple[str, ...]
    columns: Columns
    dialect: Dialect
    rows: Iterable[SheetRow]
    facts: SheetFacts
    problems: ProblemList
    warnings: ProblemList
    findings: Findings = field(default_factory=Findings)
    titles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SheetLimits:
    """How large a sheet may be."""

    max_bytes: int
    max_rows: int
    max_images: int
    max_urls_per_cell: int
    max_columns: int


@dataclass(frozen=True, slots=True)
class SeenTable:
    """What was seen of the table of a sheet that cannot be worked on: its titles and first rows, with their numbers."""

    dialect: Dialect
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


class SheetError(Exception):
    """The sheet has faults; `problems` lists them all, `seen` is None when no table was found."""

    def __init__(self, problems: ProblemList, seen: SeenTable | None = None) -> None:
        super().__init__(f"{problems.count} problems")
        self.problems = problems
        self.seen = seen


class OversizedSheetError(SheetError):
    """The sheet has more rows or images than the limits allow, whatever else is wrong with it."""


def refuse(code: ProblemCode, message: str, *, row: int | None = None, value: str | None = None) -> SheetError:
    """Return the error of a sheet that cannot be read further."""
    problems = ProblemList()
    problems.add(Problem(row, None, code, message, value))
    return SheetError(problems)
