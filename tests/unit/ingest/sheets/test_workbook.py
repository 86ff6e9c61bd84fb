"""Excel workbooks are read like any other sheet, and hostile ones are refused before they cost anything."""

from __future__ import annotations

import io
import time
import zipfile
from contextlib import suppress
from datetime import datetime

import openpyxl
import pytest

from ingest.sheets.intake import read_sheet
from ingest.sheets.model import Sheet, SheetError, SheetLimits

LIMITS = SheetLimits(max_bytes=1_000_000, max_rows=1000, max_images=1000, max_urls_per_cell=100, max_columns=1000)
LINK = "https://a.example/1.jpg"
HEADER: list[object] = ["Product Name", "Price", "Input Image Urls"]


def workbook(**sheets: list[list[object]]) -> bytes:
    """Return a workbook with these sheets."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def with_part(body: bytes, name: str, content: bytes) -> bytes:
    """Return the workbook with one of its parts replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
    return out.getvalue()


def read(body: bytes) -> Sheet:
    """Return the sheet of a workbook."""
    return read_sheet(body, LIMITS)


def refused(body: bytes) -> str:
    """Return the code with which a workbook is refused."""
    with pytest.raises(SheetError) as caught:
        read(body)
    return caught.value.problems.listed[0].code.value


def test_a_workbook_reads_as_its_sheet() -> None:
    """Numbers, dates and blank rows as the spreadsheet shows them, rows under their own numbers."""
    rows = [
        HEADER,
        ["Größe; 木", 12.5, LINK],
        [],
        ["Lamp", 3.0, f"{LINK}, {LINK}?2"],
        ["Day", datetime(2026, 1, 2), LINK],  # noqa: DTZ001 - cells have no zone
    ]
    sheet = read(workbook(Products=rows))
    found = [(row.number, row.name, row.cells[1], len(row.urls)) for row in sheet.rows]
    assert found == [
        (2, "Größe; 木", "12.5", 1),
        (3, "", "", 0),
        (4, "Lamp", "3", 2),
        (5, "Day", "2026-01-02", 1),
    ]
    assert sheet.dialect.layout.value == "workbook"


def test_characters_that_excel_escapes_are_read() -> None:
    """`_x000D_` is a line break in a cell of Excel; names of files only look like it."""
    rows = [HEADER, ["a_x000D_\nb", 1, LINK], ["_x005F_x000D_", 1, LINK], ["photo_x1024_.jpg", 1, LINK]]

    found = [row.cells[0] for row in read(workbook(Data=rows)).rows]

    assert found == ["a\r\nb", "_x000D_", "photo_x1024_.jpg"]


def test_the_sheet_with_the_links_is_taken_and_told() -> None:
    """Templates begin with a sheet of instructions."""
    body = workbook(Instructions=[["Fill in the next sheet"]], Data=[HEADER, ["Lamp", 1, LINK]], Empty=[])
    sheet = read(body)
    assert [row.name for row in sheet.rows] == ["Lamp"]
    told = next(each for each in sheet.warnings.listed if each.code.value == "WORKBOOK_READ")
    assert "'Data'" in told.message
    assert "Instructions" in told.message


@pytest.mark.timing
def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    """The directory of the ZIP file says how large its parts are."""
    body = workbook(Data=[HEADER, ["Lamp", 1, LINK]])
    bomb = with_part(body, "xl/worksheets/sheet1.xml", b"<a>" + b" " * 100_000_000)
    begun = time.process_time()
    assert refused(bomb) == "SHEET_TOO_LARGE"
    assert time.process_time() - begun < 5


def test_entities_are_refused() -> None:
    """Ten lines of XML could otherwise become gigabytes of text."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    xml = (
        f"<!DOCTYPE x [{entities}]><worksheet><sheetData><row><c t='str'><v>&e9;</v></c></row></sheetData></worksheet>"
    )
    body = workbook(Data=[HEADER, ["Lamp", 1, LINK]])
    assert refused(with_part(body, "xl/worksheets/sheet1.xml", xml.encode())) == "NOT_A_CSV"
    assert refused(with_part(body, "xl/workbook.xml", xml.encode())) == "NOT_A_CSV"


def test_a_size_that_a_sheet_claims_is_not_believed() -> None:
    """Rows would be filled up to it: 17 billion cells."""
    body = workbook(Data=[HEADER, ["Lamp", 1, LINK]])
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        xml = archive.read("xl/worksheets/sheet1.xml")
    claimed = xml.replace(b'ref="A1:C2"', b'ref="A1:XFD1048576"')
    assert claimed != xml
    assert [row.name for row in read(with_part(body, "xl/worksheets/sheet1.xml", claimed)).rows] == ["Lamp"]


@pytest.mark.parametrize("at", range(100, 4700, 100))
def test_a_damaged_workbook_is_refused_or_read(at: int) -> None:
    """Whatever byte is wrong, nothing else comes of it."""
    body = bytearray(workbook(Data=[HEADER, ["Lamp", 1, LINK]]))
    body[at % len(body)] ^= 0x55
    with suppress(SheetError):
        assert len(list(read(bytes(body)).rows)) <= 1
