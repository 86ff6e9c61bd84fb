"""A sheet of an Excel workbook (.xlsx, .xlsm) as text, so that everything behind reads it like any other sheet.

A workbook is a ZIP file of XML from a stranger. Before anything is unpacked, the directory of the file says how much
that will be, and no part gives more than it says; XML with entities is refused (openpyxl takes defusedxml where it is
installed, and it is pinned); rows, cells and processor time are counted on the way. Pictures and other parts of a
workbook are never unpacked.
"""

from __future__ import annotations

import csv
import io
import re
import time
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from chassis.limited import Limited
from ingest.sheets.body import HeldBody
from ingest.sheets.decoding import SheetText
from ingest.sheets.model import Dialect, Layout, Problem, ProblemCode, ProblemList, SheetError, SheetLimits, refuse
from ingest.sheets.records import SheetFile

MAX_WORKBOOK_BYTES: Annotated[
    int, Limited("bytes", "400 `SHEET_INVALID` with `SHEET_TOO_LARGE`", "Unpacked XML of an Excel workbook")
] = 67_108_864
MAX_WORKBOOK_CELLS: Annotated[
    int, Limited("cells", "400 `SHEET_INVALID` with `SHEET_TOO_LARGE`", "Cells of the sheet of an Excel workbook")
] = 2_000_000
MAX_WORKBOOK_CPU_S: Annotated[
    float, Limited("seconds", "400 `SHEET_INVALID` with `SHEET_TOO_LARGE`", "Processor time of reading a workbook")
] = 20.0
MAX_WORKBOOK_SHEETS: Annotated[
    int, Limited("sheets", "400 `SHEET_INVALID` with `SHEET_TOO_LARGE`", "Sheets of an Excel workbook")
] = 200

_ZIP = b"PK\x03\x04"
_WORKBOOK = "xl/workbook.xml"
_MAX_PARTS = 10_000
_MAX_RATIO = 200
_SMALL_BYTES = 4 * 1024 * 1024
_LOOKED_AT_ROWS = 50
_SHOWN_SHEETS = 5
_ESCAPED = re.compile("_x(00[01][0-9A-Fa-f]|005[Ff](?=_x[0-9A-Fa-f]{4}_))_")
"""A control character as Excel writes it, or the `_` before what is none (ST_Xstring of ECMA-376).

No other letter: openpyxl writes names such as `a_x1024_.jpg` as they are.
"""
_FAULTS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    InvalidFileException,
    ParseError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RuntimeError,
    OSError,
    EOFError,
)
"""What zlib, the XML parser and openpyxl raise for a workbook that is none; defusedxml's refusals are ValueErrors."""


def is_workbook(body: bytes) -> bool:
    """Return whether a file is a ZIP file that has the part of a workbook."""
    if not body.startswith(_ZIP):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return _WORKBOOK in archive.namelist()
    except _FAULTS:
        return False


def read_workbook(body: bytes, limits: SheetLimits, warnings: ProblemList) -> SheetFile:
    """Return the sheet of a workbook that holds links, else its first one; which one it was goes to `warnings`.

    Raises:
        SheetError: SHEET_TOO_LARGE, NOT_A_CSV for a broken or encrypted one, SHEET_EMPTY, TOO_MANY_ROWS.
    """
    _check_parts(body)
    clock = _Clock()
    try:
        book = openpyxl.load_workbook(io.BytesIO(body), read_only=True, data_only=True, keep_links=False)
        try:
            sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] or list(book.worksheets)
            if not sheets:
                raise refuse(ProblemCode.SHEET_EMPTY, "The workbook has no sheet with cells.")
            if len(sheets) > MAX_WORKBOOK_SHEETS:
                raise _too_large(f"The workbook has {len(sheets)} sheets; the limit is {MAX_WORKBOOK_SHEETS}.")
            chosen = _with_links(sheets, clock)
            text = _text_of(chosen, limits, clock)
            names = [sheet.title for sheet in sheets if sheet is not chosen]
        finally:
            book.close()
    except SheetError:
        raise
    except _FAULTS as error:
        message = "This looks like an Excel workbook (.xlsx) and cannot be read: it is broken or protected."
        raise refuse(ProblemCode.NOT_A_CSV, f"{message} Save it anew, or as CSV UTF-8.") from error
    _tell(chosen.title, names, warnings)
    decoded = SheetText(HeldBody(text), "utf-8", bom=False, start=0)
    return SheetFile(
        decoded, Dialect("utf-8", bom=False, delimiter=",", layout=Layout.WORKBOOK), has_separator_line=False
    )


class _Clock:
    """The processor time of this thread since the reading began."""

    def __init__(self) -> None:
        self._begun = time.thread_time()

    def check(self) -> None:
        """Raise the SheetError of a workbook that takes too long."""
        if time.thread_time() - self._begun > MAX_WORKBOOK_CPU_S:
            raise _too_large(f"The workbook takes more than {MAX_WORKBOOK_CPU_S:g} s to read. Save it as CSV UTF-8.")


def _check_parts(body: bytes) -> None:
    """Raise the SheetError of a workbook that would be too much, before anything of it is unpacked."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        parts = archive.infolist()
    read = [part for part in parts if part.filename.lower().endswith((".xml", ".rels"))]
    unpacked = sum(part.file_size for part in read)
    packed = sum(part.compress_size for part in read)
    if len(parts) > _MAX_PARTS or unpacked > MAX_WORKBOOK_BYTES:
        raise _too_large(f"The workbook has {unpacked} bytes of XML unpacked; the limit is {MAX_WORKBOOK_BYTES} bytes.")
    if unpacked > _SMALL_BYTES and unpacked > packed * _MAX_RATIO:
        raise _too_large(f"The workbook grows more than {_MAX_RATIO} times when it is unpacked; that is no real sheet.")
    if any(part.flag_bits & 1 for part in parts):
        raise refuse(ProblemCode.NOT_A_CSV, "The workbook is protected by a password. Save it without one.")


def _with_links(sheets: list[Any], clock: _Clock) -> Any:
    """Return the sheet whose first rows hold the most links; of equals the first."""
    best, most = sheets[0], -1
    for sheet in sheets:
        rows = zip(range(_LOOKED_AT_ROWS), _rows(sheet, clock), strict=False)
        links = sum("://" in cell or cell.startswith(("www.", "//")) for _, cells in rows for cell in cells)
        if links > most:
            best, most = sheet, links
    return best


def _rows(sheet: Any, clock: _Clock) -> Iterator[list[str]]:
    # What the sheet says of its own size is not to be trusted: rows would be filled up to it.
    sheet.reset_dimensions()
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        if number % 64 == 0:
            clock.check()
        yield [_cell(value) for value in row]


def _text_of(sheet: Any, limits: SheetLimits, clock: _Clock) -> bytes:
    """Return the sheet as CSV in UTF-8, a record a row, blank ones too, so that numbers of rows stay."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    count = chars = blank = 0
    for number, cells in enumerate(_rows(sheet, clock), start=1):
        count += len(cells)
        chars += sum(map(len, cells))
        if count > MAX_WORKBOOK_CELLS or chars > MAX_WORKBOOK_BYTES:
            raise _too_large(f"The sheet '{sheet.title[:50]}' has more than {MAX_WORKBOOK_CELLS} cells.")
        if not any(cells):
            blank += 1  # formats without cells reach far below the table
            continue
        if number > limits.max_rows + _LOOKED_AT_ROWS:
            raise refuse(ProblemCode.TOO_MANY_ROWS, f"The sheet has more than {limits.max_rows} rows.", row=number)
        out.write("\r\n" * blank)
        blank = 0
        while cells and not cells[-1]:
            cells.pop()
        writer.writerow(cells)
    if not out.tell():
        raise refuse(ProblemCode.SHEET_EMPTY, f"The sheet '{sheet.title[:50]}' of the workbook is empty.")
    return out.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> str:
    """Return a value as a spreadsheet shows it without formats."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if not (value.hour or value.minute or value.second) else value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), str(value))
    return text.replace("\x00", "\ufffd")


def _tell(chosen: str, others: list[str], warnings: ProblemList) -> None:
    left = f" Not read: {', '.join(name[:30] for name in others[:_SHOWN_SHEETS])}." if others else ""
    message = (
        f"The sheet '{chosen[:50]}' of the workbook was read.{left} The result is CSV, and a new workbook with this one"
        " sheet: other sheets, formulas and formats are not carried over."
    )
    warnings.add(Problem(None, None, ProblemCode.WORKBOOK_READ, message))


def _too_large(message: str) -> SheetError:
    return refuse(ProblemCode.SHEET_TOO_LARGE, message)
