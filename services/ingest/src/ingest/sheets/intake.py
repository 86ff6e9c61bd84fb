"""The whole way of a sheet: decode, find the layout and the columns, read every row, tell every fault at once.

A sheet is gone through twice: here, to find every fault before anything is stored, and once more by whoever iterates
over its rows. Reading twice costs seconds for the largest sheet; keeping it would cost hundreds of megabytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ingest.sheets.decoding import decode_sheet
from ingest.sheets.header import ColumnChoice, find_columns
from ingest.sheets.items import Item, ItemList
from ingest.sheets.links import host_of
from ingest.sheets.model import (
    Columns,
    Layout,
    OnInvalid,
    Problem,
    ProblemCode,
    ProblemList,
    Sheet,
    SheetError,
    SheetFacts,
    SheetLimits,
    SheetRow,
    refuse,
)
from ingest.sheets.records import RecordSource, find_layout, unpacked
from ingest.sheets.rows import RowReader, nul_problems

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
    """What the sender says about a sheet: which column is which, what becomes of bad rows, the options of the batch."""

    columns: ColumnChoice = field(default_factory=dict)
    on_invalid: OnInvalid = OnInvalid.REJECT
    options: Mapping[str, object] = field(default_factory=dict)


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
    source = find_layout(decode_sheet(body, warnings), asked.columns)
    told = _LAYOUT_WARNINGS.get(source.dialect.layout)
    if told is not None:
        warnings.add(Problem(1, None, told[0], told[1]))
    return _survey(source, limits, asked, warnings)


def read_items(items: Sequence[Item], limits: SheetLimits, asked: SheetRequest | None = None) -> Sheet:
    """Read a list of items as if it were a sheet.

    Raises:
        SheetError: as `read_sheet`; the first item is row 2.
    """
    return _survey(ItemList(items), limits, asked or SheetRequest(), ProblemList())


class SheetRows:
    """The rows of a sheet, read anew from its source by each iteration."""

    def __init__(self, source: RecordSource, reader: RowReader, *, first: int, row_count: int) -> None:
        self._source = source
        self._reader = reader
        self._first = first
        self._row_count = row_count

    def __iter__(self) -> Iterator[SheetRow]:
        """Yield each row in order."""
        # Whatever ended the sheet early was told when it was read for the first time.
        records = self._source.records(ProblemList())
        for record in islice(records, self._first, self._first + self._row_count):
            yield self._reader.read(record)


def _survey(source: RecordSource, limits: SheetLimits, asked: SheetRequest, warnings: ProblemList) -> Sheet:
    # `broken` is about the sheet as a whole; `problems` has these and those of its rows, in their order.
    problems, broken = ProblemList(), ProblemList()
    records = source.records(broken)
    first = None
    before_rows = 0
    for record in records:
        before_rows += 1
        if any(cell.strip() for cell in record.cells):
            first = record
            break
    if first is None:
        raise SheetError(broken) if broken.count else refuse(ProblemCode.SHEET_EMPTY, "The file is empty.")
    cells = unpacked(first.cells, source.dialect.delimiter) or first.cells
    header = tuple(cell.strip().strip("\ufeff\u200b") for cell in cells)
    columns = _columns(header, limits, asked)
    reader = RowReader(header, columns, source.dialect, limits)
    count = _Count(limits.max_images, asked.options)
    replaced: Problem | None = None
    for record in records:
        if count.rows >= limits.max_rows:
            message = f"The sheet has more than {limits.max_rows} rows."
            broken.add(Problem(record.number, None, ProblemCode.TOO_MANY_ROWS, message))
            break
        row = reader.read(record)
        count.add(row)
        replaced = replaced or _replaced_output(row, header, columns)
        for problem in row.problems:
            problems.add(problem)
        for warning in row.warnings:
            warnings.add(warning)
    if not count.rows and not broken.count:
        raise refuse(ProblemCode.NO_ROWS, "The sheet has a header but no rows.", row=1)
    if count.images > limits.max_images:
        message = f"The sheet has {count.images} images; the limit is {limits.max_images}."
        broken.add(Problem(None, header[columns.urls[0]], ProblemCode.TOO_MANY_IMAGES, message))
    if broken.count or (problems.count and asked.on_invalid is OnInvalid.REJECT):
        for problem in broken.listed:
            problems.add(problem)
        raise SheetError(problems)
    if replaced is not None:
        warnings.add(replaced)
    rows = SheetRows(source, reader, first=before_rows, row_count=count.rows)
    return Sheet(header, columns, source.dialect, rows, count.facts(), problems, warnings)


def _columns(header: tuple[str, ...], limits: SheetLimits, asked: SheetRequest) -> Columns:
    if len(header) > limits.max_columns:
        raise refuse(
            ProblemCode.TOO_MANY_COLUMNS,
            f"The sheet has {len(header)} columns; the limit is {limits.max_columns}.",
            row=1,
        )
    problems = ProblemList()
    for problem in nul_problems(1, header, header):
        problems.add(problem)
    columns = find_columns(header, problems, asked.columns)
    if columns is None or problems.count:
        raise SheetError(problems)
    return columns


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
        self._invalid_rows = 0
        self._urls: set[str] = set()
        self._jobs: set[tuple[str, tuple[tuple[str, object], ...]]] = set()
        self._hosts: Counter[str] = Counter()

    def add(self, row: SheetRow) -> None:
        """Count a row."""
        self.rows += 1
        self._invalid_rows += bool(row.problems)
        self.images += len(row.urls)
        if self.images > self._max_images:
            return
        # What a row says as the batch does is nothing of its own.
        options = tuple(sorted(item for item in row.options.items() if self._options.get(item[0]) != item[1]))
        for url in row.urls:
            self._urls.add(url)
            self._jobs.add((url, options))
            self._hosts[host_of(url)] += 1

    def facts(self) -> SheetFacts:
        """Return what was counted."""
        return SheetFacts(
            rows=self.rows,
            invalid_rows=self._invalid_rows,
            images=self.images,
            unique_images=len(self._jobs),
            unique_urls=len(self._urls),
            hosts=dict(self._hosts.most_common()),
        )
