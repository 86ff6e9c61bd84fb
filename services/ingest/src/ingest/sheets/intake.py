"""The whole way of a sheet: decode, find the layout and the columns, read every row, tell every fault at once.

A sheet is gone through twice: here, to find every fault before anything is stored, and once more by whoever iterates
over its rows. Reading twice costs seconds for the largest sheet; keeping it would cost hundreds of megabytes. The rows
can be read from any one on, in another process too (`open_surveyed`): the same bytes always make the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from ingest.sheets.body import HeldBody, SheetBody
from ingest.sheets.columns import Judged, judge_columns
from ingest.sheets.counting import SheetCount, UnusedPictures
from ingest.sheets.decoding import SheetText, decode_sheet
from ingest.sheets.evidence import LINKS, evidence_of, look_of
from ingest.sheets.header import ColumnChoice
from ingest.sheets.items import Item, ItemList
from ingest.sheets.layout import find_layout, first_records
from ingest.sheets.model import (
    Columns,
    Findings,
    Layout,
    OnInvalid,
    OversizedSheetError,
    Problem,
    ProblemCode,
    ProblemList,
    SeenTable,
    Sheet,
    SheetError,
    SheetLimits,
    SheetRow,
    refuse,
)
from ingest.sheets.platforms import Platform, find_platform
from ingest.sheets.records import Record, RecordSource, SheetFile, unpacked
from ingest.sheets.rows import RowReader, nul_problems
from ingest.sheets.table import Table, TableRows, explanations, locate
from ingest.sheets.workbook import is_workbook, read_workbook

PREVIEW_ROWS = 20
"""Rows that a check of a sheet shows."""

_LEAST_SAMPLED_ROWS = 40
_MOST_SAMPLED_ROWS = 400
_SAMPLED_CELLS = 40_000
_SAMPLED_CHARS = 4 * 1024 * 1024

_HEARD_ROWS = 5000

_LAYOUT_WARNINGS = {
    Layout.QUOTED_LINES: (
        ProblemCode.QUOTED_LINES,
        "Each line stands in double quotes as a whole; they were taken off.",
    ),
    Layout.PIPE_TABLE: (
        ProblemCode.PIPE_TABLE,
        "This is a table with bars, as in a README file; blanks around its cells were taken off.",
    ),
}


@dataclass(frozen=True, slots=True)
class SheetRequest:
    """What the sender says about a sheet: which column is which, what becomes of bad rows, the options of the batch.

    `encoding` is one of `CODECS`, and `delimiter` of `DELIMITERS`, or None where it is to be recognised.
    """

    columns: ColumnChoice = field(default_factory=dict)
    on_invalid: OnInvalid = OnInvalid.REJECT
    options: Mapping[str, object] = field(default_factory=dict)
    encoding: str | None = None
    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A sheet that was gone through once, and how it was read: what `open_surveyed` needs to read its rows again."""

    sheet: Sheet
    way: Mapping[str, Any]


def read_sheet(body: bytes, limits: SheetLimits, asked: SheetRequest | None = None) -> Sheet:
    """Read a sheet from the bytes of a file.

    Raises:
        SheetError: with every problem found. One bad row refuses the sheet as a whole, unless bad rows are to be
            skipped; what concerns the whole sheet always does.
    """
    if len(body) > limits.max_bytes:
        raise refuse(
            ProblemCode.SHEET_TOO_LARGE, f"The sheet has {len(body)} bytes; the limit is {limits.max_bytes} bytes."
        )
    asked = asked or SheetRequest()
    warnings = ProblemList()
    source = _source_of(HeldBody(body), limits, asked, warnings)
    return _survey_unescaped_or_escaped(source, limits, asked, warnings, _Progress())[0]


def survey_sheet(body: SheetBody, limits: SheetLimits, asked: SheetRequest, heard: Callable[[int], None]) -> Surveyed:
    """Go through a large sheet once, with memory that does not grow with it.

    Links are not compared: in its facts each image and URL counts as one of its own, and hosts are missing. `heard` is
    told now and then how many rows were read; it may raise to stop.

    Raises:
        SheetError: as `read_sheet`. A workbook is refused: its parts cannot be read piece by piece.
    """
    if not isinstance(body, HeldBody) and is_workbook(body.head):
        raise refuse(
            ProblemCode.SHEET_TOO_LARGE,
            "A workbook of this size is not read. Save the sheet as CSV UTF-8 and try again.",
        )
    warnings = ProblemList()
    found = _source_of(body, limits, asked, warnings)
    sheet, source = _survey_unescaped_or_escaped(found, limits, asked, warnings, _Progress(heard, compares=False))
    text = source.text
    return Surveyed(sheet, {"encoding": text.encoding, "bom": text.bom, "start": text.start, "escaped": source.escaped})


def open_surveyed(
    body: SheetBody, limits: SheetLimits, asked: SheetRequest, way: Mapping[str, Any], rows: int
) -> SheetRows:
    """Return the rows of a sheet that was surveyed before, without going through it again.

    Args:
        body: the same bytes.
        limits: the same limits.
        asked: the same request.
        way: what the survey returned.
        rows: how many rows it counted.
    """
    warnings = ProblemList()
    if is_workbook(body.head):
        source = read_workbook(body.head, limits, warnings)
    else:
        source = find_layout(SheetText(body, way["encoding"], way["bom"], way["start"]), asked.columns, asked.delimiter)
    source = replace(source, escaped=bool(way["escaped"]))
    found = _understand(source, limits, asked, warnings)
    reader = RowReader(found.table.header, found.judged.columns, source.dialect, limits)
    return SheetRows(source, found.rows, reader, rows)


def _source_of(body: SheetBody, limits: SheetLimits, asked: SheetRequest, warnings: ProblemList) -> SheetFile:
    """Return how the text of a sheet is to be taken apart; what is assumed goes to `warnings`."""
    if is_workbook(body.head):
        source = read_workbook(body.head, limits, warnings)
    else:
        source = find_layout(decode_sheet(body, warnings, asked.encoding), asked.columns, asked.delimiter)
    told = _LAYOUT_WARNINGS.get(source.dialect.layout)
    if told is not None:
        warnings.add(Problem(1, None, told[0], told[1]))
    return source


def _survey_unescaped_or_escaped(
    source: SheetFile, limits: SheetLimits, asked: SheetRequest, warnings: ProblemList, progress: _Progress
) -> tuple[Sheet, SheetFile]:
    """Return a sheet and how it was taken apart: with backslashes as escapes where that alone makes sense of it."""
    try:
        return _survey(source, limits, asked, deepcopy(warnings), progress), source
    except SheetError as error:
        if not any(problem.code is ProblemCode.BACKSLASH_QUOTES for problem in error.problems.listed):
            raise
        message = "Double quotes inside of cells have backslashes before them; they were read as quotes."
        warnings.add(Problem(None, None, ProblemCode.BACKSLASH_QUOTES, message))
        escaped = replace(source, escaped=True)
        try:
            return _survey(escaped, limits, asked, warnings, progress), escaped
        except SheetError as again:
            if again.problems.listed[0].code is ProblemCode.CSV_SYNTAX:
                raise error from again
            raise


def read_items(items: Sequence[Item], limits: SheetLimits, asked: SheetRequest | None = None) -> Sheet:
    """Read a list of items as if it were a sheet.

    Raises:
        SheetError: as `read_sheet`; the first item is row 2.
    """
    return _survey(ItemList(items), limits, asked or SheetRequest(), ProblemList(), _Progress())


class SheetRows:
    """The rows of a sheet, read anew from its source by each iteration."""

    def __init__(self, source: RecordSource, table: TableRows, reader: RowReader, row_count: int) -> None:
        self._source = source
        self._table = table
        self._reader = reader
        self._row_count = row_count

    def __iter__(self) -> Iterator[SheetRow]:
        """Yield each row in order."""
        return self.after(0)

    def after(self, count: int) -> Iterator[SheetRow]:
        """Yield the rows behind the first `count`, which are passed over: cheaply, unless they may name later ones."""
        # Whatever ended the sheet early and was left out was told when it was read for the first time.
        records = islice(self._table.of(self._source.records(ProblemList()), ProblemList()), self._row_count)
        if self._reader.names_groups:
            yield from islice(self._reader.rows(records), count, None)
        else:
            yield from self._reader.rows(islice(records, count, None))


def _nobody(_rows: int) -> None:
    """Hear of the progress of a survey that is short."""


@dataclass(frozen=True, slots=True)
class _Progress:
    """Who hears of a survey's progress, and whether it compares links, for which it keeps them all."""

    heard: Callable[[int], None] = _nobody
    compares: bool = True


@dataclass(frozen=True, slots=True)
class _Understood:
    """What the first records of a sheet say about the whole of it."""

    table: Table
    rows: TableRows
    judged: Judged
    platform: Platform | None

    def findings(self) -> Findings:
        """Return what answers tell of it."""
        title = None if self.platform is None else self.platform.title
        return Findings(title, self.table.number, self.judged.reasons, self.judged.other_pictures)


def _survey(
    source: RecordSource, limits: SheetLimits, asked: SheetRequest, warnings: ProblemList, progress: _Progress
) -> Sheet:
    # `broken` is about the sheet as a whole; `problems` has these and those of its rows, in their order.
    problems, broken = ProblemList(), ProblemList()
    found = _understand(source, limits, asked, warnings)
    header, columns = found.table.header, found.judged.columns
    reader = RowReader(header, columns, source.dialect, limits)
    count = SheetCount(limits.max_images, asked.options, compares=progress.compares)
    oversized = False
    unused = UnusedPictures(header, found.judged)
    replaced: Problem | None = None
    for row in reader.rows(found.rows.of(source.records(broken), warnings)):
        if count.rows >= limits.max_rows:
            message = f"The sheet has more than {limits.max_rows} rows."
            broken.add(Problem(row.number, None, ProblemCode.TOO_MANY_ROWS, message))
            oversized = True
            break
        count.add(row)
        if count.rows % _HEARD_ROWS == 0:
            progress.heard(count.rows)
        unused.look(row)
        replaced = replaced or _replaced_output(row, header, columns)
        for problem in (*row.problems, *row.faults.values()):
            problems.add(problem)
        for warning in row.warnings:
            warnings.add(warning)
    if not count.rows and not broken.count:
        raise refuse(ProblemCode.NO_ROWS, "The sheet has a header but no rows.", row=found.table.number)
    if count.images > limits.max_images:
        message = f"The sheet has {count.images} images; the limit is {limits.max_images}."
        broken.add(Problem(None, header[columns.urls[0]], ProblemCode.TOO_MANY_IMAGES, message))
        oversized = True
    if broken.count or (problems.count and asked.on_invalid is OnInvalid.REJECT):
        for problem in broken.listed:
            problems.add(problem)
        error = OversizedSheetError if oversized else SheetError
        raise error(problems, _seen(source, found.table, _sample(source, found.table)))
    if replaced is not None:
        warnings.add(replaced)
    for warning in unused.warnings():
        warnings.add(warning)
    rows = SheetRows(source, found.rows, reader, count.rows)
    return Sheet(
        header, columns, source.dialect, rows, count.facts(), problems, warnings, found.findings(), found.table.titles
    )


def _understand(source: RecordSource, limits: SheetLimits, asked: SheetRequest, warnings: ProblemList) -> _Understood:
    """Return where the table is and which column is which, from the first records.

    Raises:
        SheetError: there is no table, or its columns cannot be told.
    """
    broken = ProblemList()
    first = first_records(source.records(broken))
    table = locate(first, source.dialect.delimiter, asked.columns)
    if table is None:
        raise SheetError(broken) if broken.count else refuse(ProblemCode.SHEET_EMPTY, "The file is empty.")
    header = table.header
    if len(header) > limits.max_columns:
        raise refuse(
            ProblemCode.TOO_MANY_COLUMNS,
            f"The sheet has {len(header)} columns; the limit is {limits.max_columns}.",
            row=table.number,
        )
    problems = ProblemList()
    for problem in nul_problems(table.number, header, header):
        problems.add(problem)
    sample = _sample(source, table)
    platform = find_platform(header)
    evidence = evidence_of(len(header), (record.cells for record in sample))
    judged = judge_columns(header, evidence, asked.columns, problems, table.number, platform)
    if judged is None or problems.count:
        raise SheetError(problems, _seen(source, table, sample))
    above = sum(record.number < table.number for record in first)
    if above:
        message = f"The header is row {table.number}; {above} filled rows above it are no part of the table."
        warnings.add(Problem(table.number, None, ProblemCode.HEADER_FOUND, message))
    for warning in judged.warnings:
        warnings.add(warning)
    rows = TableRows(table, explanations(sample, judged.columns.urls))
    return _Understood(table, rows, judged, platform)


def _sample(source: RecordSource, table: Table) -> list[Record]:
    """Return the first rows of a table that are as wide as its header, fewer of a wide one."""
    width = len(table.header)
    wanted = max(_LEAST_SAMPLED_ROWS, min(_MOST_SAMPLED_ROWS, _SAMPLED_CELLS // max(1, width)))
    sample: list[Record] = []
    room = _SAMPLED_CHARS
    for record in islice(TableRows(table).of(source.records(ProblemList()), ProblemList()), wanted):
        cells = unpacked(record.cells, source.dialect.delimiter) or record.cells
        # A link alone in a row stands in the wrong column, and what is wider is not parted as the header is.
        alone = len(cells) == 1 < width and look_of(cells[0]) in LINKS
        if not alone and not any(cell.strip() for cell in cells[width:]):
            sample.append(Record(record.number, cells[:width], record.links))
        room -= sum(map(len, cells))
        if room < 0:
            break
    return sample


def _seen(source: RecordSource, table: Table, sample: Sequence[Record]) -> SeenTable:
    rows = tuple((record.number, tuple(record.cells)) for record in sample[:PREVIEW_ROWS])
    return SeenTable(source.dialect, table.header, rows)


def _replaced_output(row: SheetRow, header: Sequence[str], columns: Columns) -> Problem | None:
    """Return the warning that what stands in the output column will not stay; it is told once for a sheet."""
    if columns.output is None or row.problems or not row.cells[columns.output].strip():
        return None
    return Problem(
        row.number,
        header[columns.output],
        ProblemCode.OUTPUT_REPLACED,
        "The column of outputs is filled, from this row on; the new links take the place of what it holds.",
        row.cells[columns.output],
    )
