"""The titles and first rows of a sheet whose columns cannot be told, so that a person can say which is which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.sheets.intake import SheetRequest, source_of
from ingest.sheets.layout import first_records
from ingest.sheets.model import Dialect, ProblemList, SheetError, SheetLimits
from ingest.sheets.records import unpacked
from ingest.sheets.table import locate


@dataclass(frozen=True, slots=True)
class FirstLook:
    """How a sheet was read, its titles, and the cells of some rows below them."""

    dialect: Dialect
    header: tuple[str, ...]
    rows: Sequence[tuple[int, Sequence[str]]]


def first_look(body: bytes, limits: SheetLimits, asked: SheetRequest, *, rows: int) -> FirstLook | None:
    """Return the titles of a sheet and at most `rows` rows, whatever its columns are; None when there is no table."""
    try:
        source = source_of(body, limits, asked, ProblemList())
        records = first_records(source.records(ProblemList()))
    except SheetError:
        return None
    delimiter = source.dialect.delimiter
    table = locate(records, delimiter, asked.columns)
    if table is None:
        return None
    below = records[table.at + 1 : table.at + 1 + rows]
    cells = [(record.number, unpacked(record.cells, delimiter) or record.cells) for record in below]
    return FirstLook(source.dialect, table.header, cells)
