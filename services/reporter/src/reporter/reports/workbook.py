"""output.xlsx: the cells of output.csv as an Excel workbook with one sheet, for batches that came as a workbook.

Every cell is text, so no cell becomes a formula, a link or a number without its zeros. Rows go to a temporary file as
they come. Times in the file are fixed: the same rows make the same bytes.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.writer.excel import ExcelWriter

from chassis.limited import Limited
from reporter.reports.export_reader import ExportBatch, ExportRow
from reporter.reports.sheet import OutputTable

_BEYOND = "no `output.xlsx`; `xlsx_left_out` says why"

MAX_XLSX_ROWS: Annotated[int, Limited("rows", _BEYOND, "Rows of `output.xlsx` with the header; Excel has no more")] = (
    1_048_576
)
MAX_XLSX_COLUMNS: Annotated[int, Limited("columns", _BEYOND, "Columns of `output.xlsx`; Excel has no more")] = 16_384
MAX_XLSX_CELL_CHARS: Annotated[
    int,
    Limited(
        "characters",
        _BEYOND,
        "Longest cell of `output.xlsx`, in UTF-16 as Excel counts; a control character counts 7",
    ),
] = 32_767
"""Source: https://support.microsoft.com/office/excel-specifications-and-limits-1672b34d-7043-467e-8e27-269d656771c3"""

_TIME = datetime(2000, 1, 1)  # noqa: DTZ001 - the times of a workbook have no zone
_SHEET_TITLE = "Output"
_TO_ESCAPE = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


class OutputWorkbook:
    """Takes the rows of a batch, then is saved once; closed in any case, which deletes its temporary file.

    `left_out` says which limit of Excel a row has passed; None as long as none has.
    """

    def __init__(self, batch: ExportBatch) -> None:
        self.left_out: str | None = None
        self._table = OutputTable(batch)
        self._row_count = 0
        self._book: Any = Workbook(write_only=True)
        self._book.properties.creator = "Pressroom"
        self._book.properties.created = self._book.properties.modified = _TIME
        self._sheet: Any = self._book.create_sheet(_SHEET_TITLE)
        self._append(self._table.header)

    def write(self, row: ExportRow) -> None:
        """Write one row; nothing once a limit was passed."""
        if self.left_out is None:
            self._append(self._table.cells(row))

    def save(self, out: IO[bytes]) -> None:
        """Write the whole file; may be called once, and only if nothing was left out."""
        with _UndatedZip(out, "w") as archive:
            ExcelWriter(self._book, archive).write_data()
        self._sheet = None

    def close(self) -> None:
        """Delete the temporary file if it is there still; openpyxl itself keeps it until the process ends."""
        if self._sheet is None:
            return
        sheet, self._sheet = self._sheet, None
        try:
            if not sheet.closed:
                sheet.close()
        finally:
            with suppress(FileNotFoundError):
                sheet._writer.cleanup()  # noqa: SLF001 - no public way

    def _append(self, cells: list[str]) -> None:
        self._row_count += 1
        written = [_TO_ESCAPE.sub(_escaped, cell) for cell in cells]
        self.left_out = _passed_limit(self._row_count, written)
        if self.left_out is None:
            self._sheet.append([self._cell(text) for text in written])

    def _cell(self, text: str) -> Any:
        if not text:
            return None
        if not text.startswith(("=", "#")):
            return text
        cell = WriteOnlyCell(self._sheet, text)
        cell.data_type = "s"  # openpyxl takes `=...` for a formula and `#N/A` for an error
        return cell


class _UndatedZip(zipfile.ZipFile):
    """A ZIP file whose parts all have the same time."""

    def writestr(self, zinfo_or_arcname: Any, data: Any, *_: Any, **__: Any) -> None:
        """Write a part."""
        super().writestr(_part(str(zinfo_or_arcname)), data)

    def write(self, filename: Any, arcname: Any = None, *_: Any, **__: Any) -> None:
        """Write a file as a part."""
        part = _part(str(arcname))
        path = Path(filename)
        part.file_size = path.stat().st_size
        with path.open("rb") as source, self.open(part, "w") as target:
            shutil.copyfileobj(source, target)


def _part(name: str) -> zipfile.ZipInfo:
    part = zipfile.ZipInfo(name)  # of the first day that ZIP files know
    part.compress_type = zipfile.ZIP_DEFLATED
    return part


def _escaped(found: re.Match[str]) -> str:
    """Return what stands for a character that XML cannot hold, or for a `_` that would be read as such.

    Source: ST_Xstring of ECMA-376, part 1, 22.9.2.19.
    """
    return f"_x{ord(found[0]):04X}_"


def _passed_limit(row_number: int, cells: list[str]) -> str | None:
    if row_number > MAX_XLSX_ROWS:
        return f"The result has more than {MAX_XLSX_ROWS} rows (max_xlsx_rows), which no .xlsx file can hold."
    if len(cells) > MAX_XLSX_COLUMNS:
        told = f"Line {row_number} of the result has {len(cells)} columns"
        return f"{told}; an .xlsx file can hold {MAX_XLSX_COLUMNS} (max_xlsx_columns)."
    for column, text in enumerate(cells, start=1):
        # Only a long text is worth counting exactly: two bytes for each unit of UTF-16.
        length = len(text)
        if length > MAX_XLSX_CELL_CHARS // 2:
            length = len(text.encode("utf-16-le", "surrogatepass")) // 2
        if length > MAX_XLSX_CELL_CHARS:
            told = f"The cell in column {column} of line {row_number} of the result has {length} characters"
            return f"{told}; one of an .xlsx file can hold {MAX_XLSX_CELL_CHARS} (max_xlsx_cell_chars)."
    return None
