"""One record after the other becomes a row: fitted to the header, its links and options read, its faults named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingest.sheets.links import read_links, read_listed_links
from ingest.sheets.model import Columns, Dialect, Layout, Problem, ProblemCode, SheetLimits, SheetRow
from ingest.sheets.records import Record
from ingest.sheets.repairs import gathered_urls, unpacked_line
from ingest.sheets.row_options import parse_option


class RowReader:
    """Turns records into `SheetRow`s; the same record always becomes the same row."""

    def __init__(self, header: Sequence[str], columns: Columns, dialect: Dialect, limits: SheetLimits) -> None:
        self._header = header
        self._columns = columns
        self._dialect = dialect
        self._limits = limits

    def read(self, record: Record) -> SheetRow:
        """Return the row with what is wrong with it."""
        width = len(self._header)
        number, cells = record.number, record.cells
        if not record.links and not any(cell.strip() for cell in cells):
            # A blank row keeps its place, so that the output has the same rows as the input.
            return SheetRow(number, "", "", tuple(cells[:width]) + ("",) * (width - len(cells)), ())
        problems: list[Problem] = []
        warnings: list[Problem] = []
        fitted = self._fitted(number, cells, problems, warnings)
        if fitted is None:
            # Its cells stand in the wrong columns: looking at them would only tell the same fault again.
            return self._bad(number, cells, problems, warnings)
        nul = nul_problems(number, self._header, fitted)
        links = self._links(record, fitted, problems, warnings)
        options = self._options(number, fitted, problems)
        if nul or problems:
            return self._bad(number, fitted, [*nul, *problems], warnings)
        columns = self._columns
        return SheetRow(
            number,
            _cell(fitted, columns.serial),
            _cell(fitted, columns.name),
            tuple(fitted),
            links,
            options,
            (),
            tuple(warnings),
        )

    def _bad(self, number: int, cells: Sequence[str], problems: list[Problem], warnings: list[Problem]) -> SheetRow:
        """Return a row without links that keeps what stood in it, as far as it can be stored."""
        width = len(self._header)
        kept = [cell.replace("\x00", "\ufffd") for cell in cells]
        if len(kept) > width:
            kept = [*kept[: width - 1], self._dialect.delimiter.join(kept[width - 1 :])]
        kept += [""] * (width - len(kept))
        columns = self._columns
        return SheetRow(
            number,
            _cell(kept, columns.serial),
            _cell(kept, columns.name),
            tuple(kept),
            (),
            {},
            tuple(problems),
            tuple(warnings),
        )

    def _fitted(
        self, number: int, cells: list[str], problems: list[Problem], warnings: list[Problem]
    ) -> list[str] | None:
        """Return the cells if there is one for each column, perhaps after a repair, else None after telling why."""
        width, delimiter = len(self._header), self._dialect.delimiter
        if len(cells) == 1 < width:
            inner = unpacked_line(cells, self._columns, width, delimiter)
            if inner is not None:
                cells = inner
                if self._dialect.layout is not Layout.QUOTED_LINES:
                    message = "The line stands in double quotes as a whole; they were taken off."
                    warnings.append(Problem(number, None, ProblemCode.QUOTED_LINES, message))
        if len(cells) < width:
            message = f"The row has {len(cells)} cells; the header has {width}."
            problems.append(Problem(number, self._header[len(cells)], ProblemCode.SHORT_ROW, message))
            return None
        extra = cells[width:]
        if any(cell.strip() for cell in extra):
            return self._gathered(number, cells, problems, warnings)
        if extra:
            message = f"{len(extra)} empty cells behind the last column."
            warnings.append(Problem(number, None, ProblemCode.EXTRA_EMPTY_CELLS, message))
        return cells[:width]

    def _gathered(
        self, number: int, cells: list[str], problems: list[Problem], warnings: list[Problem]
    ) -> list[str] | None:
        width, delimiter = len(self._header), self._dialect.delimiter
        gathered = gathered_urls(cells, self._columns, width, delimiter)
        if gathered is not None:
            index = self._columns.urls[0]
            count = len(cells) - width + 1
            warnings.append(
                Problem(
                    number,
                    self._header[index],
                    ProblemCode.SPILLED_URLS,
                    f"The URLs stand without double quotes in {count} cells; they were put back into one.",
                    gathered[index],
                )
            )
            return gathered
        message = (
            f"The row has {len(cells)} cells; the header has {width}. A cell that holds the delimiter, such as a list"
            " of URLs, must stand in double quotes."
        )
        problems.append(Problem(number, None, ProblemCode.LONG_ROW, message, delimiter.join(cells[width:])))
        return None

    def _links(
        self, record: Record, cells: list[str], problems: list[Problem], warnings: list[Problem]
    ) -> tuple[str, ...]:
        links: tuple[str, ...] = ()
        number = record.number
        for index in self._columns.urls:
            title, cell = self._header[index], cells[index]
            found = read_links(cell) if record.links is None else read_listed_links(record.links)
            if len(found.links) > self._limits.max_urls_per_cell:
                message = f"The cell holds {len(found.links)} URLs; the limit is {self._limits.max_urls_per_cell}."
                problems.append(Problem(number, title, ProblemCode.TOO_MANY_URLS, message))
                continue
            problems.extend(
                Problem(number, title, link.fault.code, link.fault.message, link.text)
                for link in found.links
                if link.fault is not None
            )
            warnings.extend(Problem(number, title, each.code, each.message, each.value) for each in found.notices)
            links += tuple(link.url for link in found.links)
        if not links:
            title = self._header[self._columns.urls[0]]
            warnings.append(Problem(number, title, ProblemCode.NO_URLS, "The row has no image URL."))
        return links

    def _options(self, number: int, cells: list[str], problems: list[Problem]) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for option, index in self._columns.options.items():
            value, fault = parse_option(option, cells[index])
            if fault is not None:
                message = (
                    f'{fault}. If the column is no option of ours, say so in the request: columns={{"{option}": null}}.'
                )
                problems.append(Problem(number, self._header[index], ProblemCode.OPTION_INVALID, message, cells[index]))
            elif value is not None:
                options[option] = value
        return options


def nul_problems(number: int, header: Sequence[str], cells: Sequence[str]) -> list[Problem]:
    """Return a problem for each cell with a NUL: PostgreSQL stores none, and no spreadsheet writes one."""
    return [
        Problem(number, header[index], ProblemCode.NUL_CHARACTER, "The cell holds a NUL character.", cell)
        for index, cell in enumerate(cells)
        if "\x00" in cell
    ]


def _cell(cells: Sequence[str], index: int | None) -> str:
    return "" if index is None else cells[index].strip()
