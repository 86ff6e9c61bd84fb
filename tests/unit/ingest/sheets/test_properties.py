"""What holds for every sheet, whoever wrote it: made of the pieces that break parsers, in every combination."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sheets.corrected import corrected_csv
from ingest.sheets.intake import SheetRequest, read_sheet
from ingest.sheets.model import OnInvalid, Sheet, SheetError, SheetLimits

LIMITS = SheetLimits(max_bytes=1_000_000, max_rows=1000, max_images=1000, max_urls_per_cell=100, max_columns=200)
SKIP = SheetRequest(on_invalid=OnInvalid.SKIP)
PIECES = [",", ";", "\t", "|", '"', '""', "\n", "\r\n", "\r", " ", "\x00", "\\", "|---|---|---|", "sep=;\n", "\ufeff"]
PIECES += ["http://a/b", "https://c/d,e;f|g", "ftp://x", "Lamp", "Größe", "80", "=1+1", "\u200b", "\x85", "\u2028"]
HEADERS = ["Product Name,Input Image Urls", "S. No.;Product Name;Input Image Urls;quality", "|Name|Images|"]
HEADERS += ['"Product Name,Input Image Urls"', "Title\tImage Src\tOutput Image Urls"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]

messy = st.builds(
    lambda header, pieces, encoding: (header + "\n" + "".join(pieces)).encode(encoding, "ignore"),
    st.sampled_from(HEADERS),
    st.lists(st.sampled_from(PIECES), max_size=40),
    st.sampled_from(ENCODINGS),
)


def read(body: bytes) -> Sheet | None:
    """Return the sheet, or None where it is refused."""
    try:
        return read_sheet(body, LIMITS, SKIP)
    except SheetError:
        return None


@given(messy)
def test_a_sheet_reads_the_same_each_time(body: bytes) -> None:
    """What was checked is what is stored: the counts of the first reading are those of the second."""
    sheet = read(body)
    if sheet is None:
        return
    rows = list(sheet.rows)
    assert rows == list(sheet.rows)
    assert sheet.facts.rows == len(rows)
    assert sheet.facts.images == sum(len(row.urls) for row in rows)
    assert sheet.facts.invalid_rows == sum(bool(row.problems) for row in rows)


@pytest.mark.fault("F4")
@given(messy)
def test_a_row_is_as_wide_as_the_header_and_can_be_stored(body: bytes) -> None:
    """Good or bad; and only a good row has images."""
    sheet = read(body)
    for row in sheet.rows if sheet else ():
        assert len(row.cells) == len(sheet.header) if sheet else False
        assert not any("\x00" in cell for cell in (*row.cells, row.serial, row.name, *row.urls))
        assert not (row.urls and row.problems)


@given(messy)
def test_row_numbers_rise(body: bytes) -> None:
    """Each row once, in the order of the sheet, the header being row 1."""
    sheet = read(body)
    numbers = [row.number for row in sheet.rows] if sheet else []
    assert numbers == sorted(set(numbers))
    assert all(number > 1 for number in numbers)


@given(messy)
def test_correcting_keeps_every_cell_and_every_image(body: bytes) -> None:
    """The copy is strict CSV with the same cells, and reads as the same images."""
    sheet = read(body)
    if sheet is None:
        return
    rows = list(sheet.rows)
    copy = b"".join(corrected_csv(sheet))
    cells = list(csv.reader(io.StringIO(copy.decode("utf-8-sig"), newline=""), strict=True))
    assert [tuple(row[:-1]) for row in cells] == [sheet.header, *(row.cells for row in rows)]
    again = read(copy)
    assert again is not None
    good = [index for index, row in enumerate(rows) if not row.problems]
    found = list(again.rows)
    assert [found[index].urls for index in good] == [rows[index].urls for index in good]


@given(messy)
def test_rejecting_and_skipping_see_the_same_problems(body: bytes) -> None:
    """The one lists them in its refusal, the other in its answer."""
    sheet = read(body)
    if sheet is None:
        return
    try:
        strict = read_sheet(body, LIMITS).problems
    except SheetError as error:
        strict = error.problems
    assert strict.listed == sheet.problems.listed
