"""The whole way of a sheet: decode, parse strictly, find the columns, read every row, tell every fault at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from ingest.sheets.decoding import decode_sheet
from ingest.sheets.header import find_columns
from ingest.sheets.links import link_fault, may_be_cut_wrongly, split_links
from ingest.sheets.model import (
    Columns,
    Problem,
    ProblemCode,
    ProblemList,
    Sheet,
    SheetError,
    SheetLimits,
    SheetRow,
    refuse,
)

MAX_FIELD_CHARS = 131_072
"""The limit of Python's `csv` module, which belongs to the process and is left as it is."""


def read_sheet(body: bytes, limits: SheetLimits) -> Sheet:
    """Read a sheet.

    Raises:
        SheetError: with every problem found; a sheet with one bad row is refused as a whole.
    """
    if len(body) > limits.max_bytes:
        raise refuse(
            ProblemCode.SHEET_TOO_LARGE, f"The sheet has {len(body)} bytes; the limit is {limits.max_bytes} bytes."
        )
    text, dialect = decode_sheet(body)
    problems, warnings = ProblemList(), ProblemList()
    records = _records(text, problems)
    first = next(records, None)
    if first is None:
        raise SheetError(problems) if problems.count else refuse(ProblemCode.SHEET_EMPTY, "The file is empty.")
    header = tuple(cell.strip().strip("\ufeff\u200b") for cell in first[1])
    if len(header) > limits.max_columns:
        raise refuse(
            ProblemCode.TOO_MANY_COLUMNS,
            f"The sheet has {len(header)} columns; the limit is {limits.max_columns}.",
            row=1,
        )
    _refuse_nul(1, header, header, problems)
    columns = find_columns(header, problems)
    if columns is None:
        raise SheetError(problems)
    reader = _RowReader(header, columns, limits, problems, warnings)
    rows: list[SheetRow] = []
    for number, cells in records:
        if len(rows) >= limits.max_rows:
            problems.add(
                Problem(number, None, ProblemCode.TOO_MANY_ROWS, f"The sheet has more than {limits.max_rows} rows.")
            )
            break
        rows.append(reader.read(number, cells))
    if not rows and not problems.count:
        raise refuse(ProblemCode.NO_ROWS, "The sheet has a header but no rows.", row=1)
    if reader.image_count > limits.max_images:
        problems.add(
            Problem(
                None,
                header[columns.urls[0]],
                ProblemCode.TOO_MANY_IMAGES,
                f"The sheet has {reader.image_count} images; the limit is {limits.max_images}.",
            )
        )
    if problems.count:
        raise SheetError(problems)
    return Sheet(header, columns, dialect, rows, reader.image_count, warnings)


def _records(text: str, problems: ProblemList) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number as a spreadsheet counts, cells); a syntax error is a problem and ends the sheet.

    `strict` refuses an unclosed quote, which otherwise swallows the rest of the file as one field, and text after a
    closing quote. A quote inside an unquoted field is kept as it is: it can mean only one thing.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(_syntax_problem(number, reader.line_num, str(error)))
            return
        yield number, cells


def _syntax_problem(number: int, line: int, error: str) -> Problem:
    if "field larger" in error:
        return Problem(number, None, ProblemCode.FIELD_TOO_LONG, f"A cell has more than {MAX_FIELD_CHARS} characters.")
    if "end of data" in error:
        message = "A double quote is opened in this row and never closed."
    elif "expected after" in error:
        message = "There is text behind a closing double quote; double the quote inside a quoted cell."
    else:
        message = f"The row is not valid CSV: {error}."
    return Problem(number, None, ProblemCode.CSV_SYNTAX, f"{message} (Line {line} of the file.)")


class _RowReader:
    """Turns the cells of one row after the other into `SheetRow`s and collects what is wrong."""

    def __init__(
        self,
        header: Sequence[str],
        columns: Columns,
        limits: SheetLimits,
        problems: ProblemList,
        warnings: ProblemList,
    ) -> None:
        self._header = header
        self._columns = columns
        self._limits = limits
        self._problems = problems
        self._warnings = warnings
        self.image_count = 0

    def read(self, number: int, cells: list[str]) -> SheetRow:
        """Return the row; with problems told, its content is of no more use."""
        width = len(self._header)
        if not any(cell.strip() for cell in cells):
            # A blank row keeps its place, so that the output has the same rows as the input.
            return SheetRow(number, "", "", tuple(cells[:width]) + ("",) * (width - len(cells)), ())
        fitted = self._fitted(number, cells)
        if fitted is None:
            # Its cells stand in the wrong columns: looking at them would only tell the same fault again.
            return SheetRow(number, "", "", (), ())
        cells = fitted
        _refuse_nul(number, self._header, cells, self._problems)
        columns = self._columns
        return SheetRow(
            number,
            "" if columns.serial is None else cells[columns.serial].strip(),
            "" if columns.name is None else cells[columns.name].strip(),
            tuple(cells),
            self._links(number, cells),
        )

    def _fitted(self, number: int, cells: list[str]) -> list[str] | None:
        """Return the cells if there is one for each column, else None after telling why."""
        width = len(self._header)
        if len(cells) < width:
            message = f"The row has {len(cells)} cells; the header has {width}."
            self._problems.add(Problem(number, self._header[len(cells)], ProblemCode.SHORT_ROW, message))
            return None
        extra = cells[width:]
        if any(cell.strip() for cell in extra):
            message = (
                f"The row has {len(cells)} cells; the header has {width}. A cell that holds a comma, such as a list of"
                " URLs, must stand in double quotes."
            )
            self._problems.add(Problem(number, None, ProblemCode.LONG_ROW, message, ",".join(extra)))
            return None
        if extra:
            message = f"{len(extra)} empty cells behind the last column."
            self._warnings.add(Problem(number, None, ProblemCode.EXTRA_EMPTY_CELLS, message))
        return cells[:width]

    def _links(self, number: int, cells: list[str]) -> tuple[str, ...]:
        links: tuple[str, ...] = ()
        for index in self._columns.urls:
            title, cell = self._header[index], cells[index]
            found = split_links(cell)
            if len(found) > self._limits.max_urls_per_cell:
                self._problems.add(
                    Problem(
                        number,
                        title,
                        ProblemCode.TOO_MANY_URLS,
                        f"The cell holds {len(found)} URLs; the limit is {self._limits.max_urls_per_cell}.",
                    )
                )
                continue
            for link in found:
                fault = link_fault(link)
                if fault is not None:
                    self._problems.add(Problem(number, title, fault.code, fault.message, link))
            if len(found) > 1 and may_be_cut_wrongly(found, cell):
                self._warnings.add(
                    Problem(
                        number,
                        title,
                        ProblemCode.AMBIGUOUS_URLS,
                        f"A URL with a URL in its query is followed by a bare separator; read as {len(found)} images.",
                        cell,
                    )
                )
            links += found
        if not links:
            self._warnings.add(
                Problem(number, self._header[self._columns.urls[0]], ProblemCode.NO_URLS, "The row has no image URL.")
            )
        self.image_count += len(links)
        return links


def _refuse_nul(number: int, header: Sequence[str], cells: Sequence[str], problems: ProblemList) -> None:
    # PostgreSQL stores no NUL, and no spreadsheet writes one.
    for index, cell in enumerate(cells):
        if "\x00" in cell:
            problems.add(
                Problem(number, header[index], ProblemCode.NUL_CHARACTER, "The cell holds a NUL character.", cell)
            )
