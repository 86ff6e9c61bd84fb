"""The whole way of a sheet: decode, find the layout and the columns, read every row, tell every fault at once.

A sheet is gone through twice: here, to find every fault before anything is stored, and once more by whoever iterates
over its rows. Reading twice costs seconds for the largest sheet; keeping it would cost hundreds of megabytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import islice

from ingest.options import GROWING_ENDINGS
from ingest.sheets.columns import Judged, judge_columns
from ingest.sheets.decoding import decode_sheet
from ingest.sheets.evidence import LINKS, Look, evidence_of, look_of
from ingest.sheets.header import ColumnChoice, cut
from ingest.sheets.items import Item, ItemList
from ingest.sheets.layout import find_layout, first_records
from ingest.sheets.links import ending_of, host_of
from ingest.sheets.model import (
    Columns,
    Findings,
    Layout,
    OnInvalid,
    Problem,
    ProblemCode,
    ProblemList,
    SeenTable,
    Sheet,
    SheetError,
    SheetFacts,
    SheetLimits,
    SheetRow,
    refuse,
)
from ingest.sheets.platforms import Platform, find_platform
from ingest.sheets.records import Record, RecordSource, unpacked
from ingest.sheets.rows import RowReader, nul_problems
from ingest.sheets.table import Table, TableRows, explanations, locate
from ingest.sheets.workbook import is_workbook, read_workbook

PREVIEW_ROWS = 20
"""Rows that a check of a sheet shows."""

_LEAST_SAMPLED_ROWS = 40
_MOST_SAMPLED_ROWS = 400
_SAMPLED_CELLS = 40_000
_SAMPLED_CHARS = 4 * 1024 * 1024

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
    if is_workbook(body):
        source = read_workbook(body, limits, warnings)
    else:
        source = find_layout(decode_sheet(body, warnings, asked.encoding), asked.columns, asked.delimiter)
    told = _LAYOUT_WARNINGS.get(source.dialect.layout)
    if told is not None:
        warnings.add(Problem(1, None, told[0], told[1]))
    try:
        return _survey(source, limits, asked, deepcopy(warnings))
    except SheetError as error:
        if not any(problem.code is ProblemCode.BACKSLASH_QUOTES for problem in error.problems.listed):
            raise
        message = "Double quotes inside of cells have backslashes before them; they were read as quotes."
        warnings.add(Problem(None, None, ProblemCode.BACKSLASH_QUOTES, message))
        try:
            return _survey(replace(source, escaped=True), limits, asked, warnings)
        except SheetError as again:
            if again.problems.listed[0].code is ProblemCode.CSV_SYNTAX:
                raise error from again
            raise


def read_items(items: Sequence[Item], limits: SheetLimits, asked: SheetRequest | None = None) -> Sheet:
    """Read a list of items as if it were a sheet.

    Raises:
        SheetError: as `read_sheet`; the first item is row 2.
    """
    return _survey(ItemList(items), limits, asked or SheetRequest(), ProblemList())


class SheetRows:
    """The rows of a sheet, read anew from its source by each iteration."""

    def __init__(self, source: RecordSource, table: TableRows, reader: RowReader, row_count: int) -> None:
        self._source = source
        self._table = table
        self._reader = reader
        self._row_count = row_count

    def __iter__(self) -> Iterator[SheetRow]:
        """Yield each row in order."""
        # Whatever ended the sheet early and was left out was told when it was read for the first time.
        records = self._table.of(self._source.records(ProblemList()), ProblemList())
        yield from self._reader.rows(islice(records, self._row_count))


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


def _survey(source: RecordSource, limits: SheetLimits, asked: SheetRequest, warnings: ProblemList) -> Sheet:
    # `broken` is about the sheet as a whole; `problems` has these and those of its rows, in their order.
    problems, broken = ProblemList(), ProblemList()
    found = _understand(source, limits, asked, warnings)
    header, columns = found.table.header, found.judged.columns
    reader = RowReader(header, columns, source.dialect, limits)
    count = _Count(limits.max_images, asked.options)
    unused = _UnusedPictures(header, found.judged)
    replaced: Problem | None = None
    for row in reader.rows(found.rows.of(source.records(broken), warnings)):
        if count.rows >= limits.max_rows:
            message = f"The sheet has more than {limits.max_rows} rows."
            broken.add(Problem(row.number, None, ProblemCode.TOO_MANY_ROWS, message))
            break
        count.add(row)
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
    if broken.count or (problems.count and asked.on_invalid is OnInvalid.REJECT):
        for problem in broken.listed:
            problems.add(problem)
        raise SheetError(problems, _seen(source, found.table, _sample(source, found.table)))
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


class _UnusedPictures:
    """Looks for links of pictures in columns that are not used and were not told of, so that none is lost silently."""

    def __init__(self, header: Sequence[str], judged: Judged) -> None:
        columns = judged.columns
        known = {*columns.urls, columns.output, columns.errors, *(other.index for other in judged.other_pictures)}
        self._header = header
        self._watched = [index for index in range(len(header)) if index not in known]
        self._rows: dict[int, list[int]] = {}

    def look(self, row: SheetRow) -> None:
        """Look at one more row."""
        if row.problems:
            return
        for index in self._watched:
            cell = row.cells[index]
            if "://" in cell and look_of(cell) is Look.PICTURE:
                seen = self._rows.setdefault(index, [row.number, 0])
                seen[1] += 1

    def warnings(self) -> Iterator[Problem]:
        """Yield a warning for each column that holds links of pictures."""
        for index, (first, count) in sorted(self._rows.items()):
            title = self._header[index]
            rows = f"row {first}" if count == 1 else f"{count} rows from row {first}"
            yield Problem(
                first,
                title,
                ProblemCode.PICTURES_NOT_USED,
                f"The column '{cut(title)}' holds links of pictures in {rows} and is not used. Name it in `columns` to"
                " use it.",
            )


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


class _Count:
    """Counts rows, images, URLs and hosts on the way; of more images than are allowed it counts only the number."""

    def __init__(self, max_images: int, options: Mapping[str, object]) -> None:
        self._max_images = max_images
        self._options = options
        self.rows = 0
        self.images = 0
        self._invalid_images = 0
        self._invalid_rows = 0
        self._urls: set[str] = set()
        self._jobs: set[tuple[str, tuple[tuple[str, object], ...]]] = set()
        self._hosts: Counter[str] = Counter()
        self._growing: Counter[str] = Counter()

    def add(self, row: SheetRow) -> None:
        """Count a row."""
        self.rows += 1
        self._invalid_rows += bool(row.problems)
        self.images += len(row.urls)
        self._invalid_images += len(row.faults)
        if self.images > self._max_images:
            return
        # What a row says as the batch does is nothing of its own.
        options = tuple(sorted(item for item in row.options.items() if self._options.get(item[0]) != item[1]))
        output = str(row.options.get("format", self._options.get("format", "jpeg")))
        growing = GROWING_ENDINGS.get(output, frozenset())
        for slot, url in enumerate(row.urls):
            if slot in row.faults:
                continue
            self._urls.add(url)
            self._jobs.add((url, options))
            self._hosts[host_of(url)] += 1
            ending = ending_of(url)
            if ending in growing:
                self._growing[ending] += 1

    def facts(self) -> SheetFacts:
        """Return what was counted."""
        return SheetFacts(
            rows=self.rows,
            invalid_rows=self._invalid_rows,
            images=self.images,
            unique_images=len(self._jobs),
            unique_urls=len(self._urls),
            hosts=dict(self._hosts.most_common()),
            invalid_images=self._invalid_images,
            growing=dict(self._growing.most_common()),
        )
