"""One record after the other becomes a row: fitted to the header, its links and options read, its faults named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingest.sheets.evidence import is_dash
from ingest.sheets.fitting import RowFitter
from ingest.sheets.links import CellLinks, read_links, read_listed_links
from ingest.sheets.model import Columns, Dialect, Problem, ProblemCode, SheetLimits, SheetRow
from ingest.sheets.records import Record
from ingest.sheets.repairs import looks_like_url
from ingest.sheets.row_options import parse_option

_NO_LINKS = CellLinks()


@dataclass(slots=True)
class _Slots:
    """The slots of a row as they are found."""

    urls: list[str] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    faults: dict[int, Problem] = field(default_factory=dict)


class RowReader:
    """Turns records into `SheetRow`s; the same records always become the same rows."""

    def __init__(self, header: Sequence[str], columns: Columns, dialect: Dialect, limits: SheetLimits) -> None:
        self._header = header
        self._columns = columns
        self._dialect = dialect
        self._limits = limits
        self._fitter = RowFitter(header, columns, dialect)

    @property
    def names_groups(self) -> bool:
        """Return whether a row may get its name from the rows before it."""
        group, name = self._columns.group, self._columns.name
        return group is not None and name is not None and group != name

    def rows(self, records: Iterable[Record]) -> Iterator[SheetRow]:
        """Yield the rows of records in order; rows of one product share the name of its first row."""
        group = self._columns.group
        if group is None or not self.names_groups:
            yield from map(self.read, records)
            return
        last_group = last_name = ""
        for record in records:
            row = self.read(record)
            own = row.cells[group].strip() if row.urls else ""
            if row.name:
                last_group, last_name = row.cells[group].strip(), row.name
            elif own:
                row = replace(row, name=last_name if own == last_group else own)
            yield row

    def read(self, record: Record) -> SheetRow:
        """Return the row with what is wrong with it."""
        width = len(self._header)
        number, cells = record.number, record.cells
        if not record.links and not any(cell.strip() for cell in cells):
            # A blank row keeps its place, so that the output has the same rows as the input.
            return SheetRow(number, "", "", tuple(cells[:width]) + ("",) * (width - len(cells)), ())
        problems: list[Problem] = []
        warnings: list[Problem] = []
        fitted = self._fitter.fitted(number, cells, problems, warnings)
        if fitted is None:
            # Its cells stand in the wrong columns: looking at them would only tell the same fault again.
            return self._bad(number, cells, problems, warnings)
        nul = nul_problems(number, self._header, fitted)
        slots = self._slots(record, fitted, problems, warnings)
        options = self._options(number, fitted, problems)
        if slots.faults and len(slots.faults) == len(slots.urls):
            # One bad link costs its slot; without any good one there is nothing to do for the row.
            problems[:0] = slots.faults.values()
        if nul or problems:
            return self._bad(number, fitted, [*nul, *problems], warnings)
        columns = self._columns
        self._tell_link_as_name(number, fitted, warnings)
        return SheetRow(
            number,
            _cell(fitted, columns.serial),
            _cell(fitted, columns.name),
            tuple(fitted),
            tuple(slots.urls),
            options,
            (),
            tuple(warnings),
            tuple(slots.columns),
            slots.faults,
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

    def _slots(self, record: Record, cells: list[str], problems: list[Problem], warnings: list[Problem]) -> _Slots:
        slots = _Slots()
        number = record.number
        for index in self._columns.urls:
            title = self._header[index]
            found = _links_of(cells[index]) if record.links is None else read_listed_links(record.links)
            if len(found.links) > self._limits.max_urls_per_cell:
                message = f"The cell holds {len(found.links)} URLs; the limit is {self._limits.max_urls_per_cell}."
                problems.append(Problem(number, title, ProblemCode.TOO_MANY_URLS, message))
                continue
            for link in found.links:
                if link.fault is not None:
                    fault = Problem(number, title, link.fault.code, link.fault.message, link.text)
                    slots.faults[len(slots.urls)] = fault
                slots.urls.append(link.url)
                slots.columns.append(index)
            warnings.extend(Problem(number, title, each.code, each.message, each.value) for each in found.notices)
        if not slots.urls:
            title = self._header[self._columns.urls[0]]
            warnings.append(Problem(number, title, ProblemCode.NO_URLS, "The row has no image URL."))
        return slots

    def _tell_link_as_name(self, number: int, cells: Sequence[str], warnings: list[Problem]) -> None:
        index = self._columns.name
        if index is not None and looks_like_url(cells[index]):
            message = "A link stands where the name of the product should be."
            warnings.append(Problem(number, self._header[index], ProblemCode.NAME_IS_LINK, message, cells[index]))

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


def _links_of(cell: str) -> CellLinks:
    return _NO_LINKS if is_dash(cell) else read_links(cell)


def _cell(cells: Sequence[str], index: int | None) -> str:
    return "" if index is None else cells[index].strip()
