"""output.xlsx: the cells of output.csv as text, the same bytes each time, only for what came as a workbook."""

from __future__ import annotations

import csv
import io
import re
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reporter.reports import workbook as module
from reporter.reports.export_reader import ExportRow, read_export
from reporter.reports.sheet import OutputSheet
from reporter.reports.workbook import OutputWorkbook
from support.reporter_service import World, export, failed_image, image, row

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

# One character for each kind: what begins formulas, what XML cannot hold, what is escaped, beyond 16 bits.
cells = st.lists(st.sampled_from([*"=+-@#'0a\t\n\r\x0b\x1f\ufffe _xF<&", "_x000D_", "😀", "#N/A"]), max_size=6).map(
    "".join
)


def saved(rows: list[dict[str, Any]], **batch: Any) -> tuple[bytes, str | None]:
    """Return the file, and why there is none."""
    batch_record, read = read_export(iter(export(str(uuid4()), rows, **batch).split(b"\n")[:-1]))
    out = io.BytesIO()
    book = OutputWorkbook(batch_record)
    try:
        for record in read:
            book.write(record)
        if book.left_out is None:
            book.save(out)
    finally:
        book.close()
    return out.getvalue(), book.left_out


def loaded(body: bytes) -> list[list[Any]]:
    """Return the cells of the only sheet."""
    [sheet] = openpyxl.load_workbook(io.BytesIO(body)).worksheets
    return [["" if cell is None else cell for cell in line] for line in sheet.iter_rows(values_only=True)]


def links(world: World, request_id: str) -> dict[str, Any]:
    """Return what /download_csv answers."""
    answer: dict[str, Any] = world.client.get("/download_csv", query_string={"request_id": request_id}).get_json()
    return answer


def test_a_workbook_comes_back_as_a_workbook(world: World) -> None:
    """Cell for cell output.csv, under a link of its own, with type, length and a name to save as."""
    request_id = str(uuid4())
    rows = [row(2, [image(0), failed_image(1)]), row(3, cells=["007", "Lamp", "u"])]
    world.publish(export(request_id, rows, workbook=True, source_name="spring.xlsx"), request_id=request_id)

    told = links(world, request_id)
    answer = world.follow(told["xlsx_url"])

    text = world.follow(told["download_url"]).data.decode("utf-8-sig")
    assert loaded(answer.data) == list(csv.reader(io.StringIO(text, newline="")))
    assert told["xlsx_left_out"] is None
    assert answer.headers["Content-Type"] == XLSX
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="spring-output.xlsx"')


@given(st.lists(st.lists(cells, min_size=3, max_size=3), max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_cell_is_text_and_stays_what_it_was(lines: list[list[str]]) -> None:
    """No cell is a formula, a number or an error; what XML cannot hold is written as ECMA-376 says (ST_Xstring)."""
    body, _ = saved([row(number, cells=line) for number, line in enumerate(lines, 2)])

    [sheet] = openpyxl.load_workbook(io.BytesIO(body)).worksheets
    assert {cell.data_type for found in sheet.iter_rows() for cell in found if cell.value is not None} == {"s"}
    assert not any(cell.hyperlink for found in sheet.iter_rows() for cell in found)
    read = [
        [re.sub("_x([0-9A-F]{4})_", lambda at: chr(int(at[1], 16)), cell) for cell in found] for found in loaded(body)
    ]
    assert [found[:3] for found in read[1:]] == lines


def test_blank_rows_and_surplus_cells_keep_their_places() -> None:
    """The same grid as output.csv."""
    rows = [row(2, cells=["1", "a", "u"]), row(3, [], cells=[]), row(4, cells=["2", "b", "u", "v"])]
    batch, read = read_export(iter(export(str(uuid4()), rows).splitlines()))
    out = io.StringIO(newline="")
    sheet = OutputSheet(out, batch)
    for record in read:
        sheet.write(record)
    width = 6

    found = loaded(saved(rows)[0])

    lines = list(csv.reader(io.StringIO(out.getvalue().removeprefix("\ufeff"), newline="")))
    assert found == [[*line, *[""] * (width - len(line))] for line in lines]


def test_the_same_rows_are_the_same_bytes(world: World) -> None:
    """Whoever publishes at the same time, or after a crash, makes the same object; nothing in it tells the time."""
    request_id = str(uuid4())
    lines = export(request_id, [row(2), row(3)], workbook=True)
    world.publish(lines, request_id=request_id)
    blob = world.bucket.blob(f"reports/{request_id}/1/output.xlsx")
    stored = blob.download_as_bytes()

    again, _ = saved([row(2), row(3)])

    assert again == stored
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        assert {part.date_time for part in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("docProps/core.xml").count(b"2000-01-01T00:00:00Z") == 2


@pytest.mark.parametrize("facts", [{}, {"workbook": False}], ids=["a batch of before", "CSV"])
def test_a_sheet_that_was_no_workbook_has_none(world: World, facts: dict[str, Any]) -> None:
    """No link; whoever makes one up is told why it leads nowhere."""
    request_id = str(uuid4())
    url = world.publish(export(request_id, [row()], **facts), request_id=request_id)["download_url"]

    told = links(world, request_id)
    error = world.follow(url.replace("output.csv", "output.xlsx")).get_json()["error"]

    assert (told["xlsx_url"], told["xlsx_left_out"]) == (None, None)
    assert (error["code"], error["details"][0]["reason"]) == (404, "REPORT_HAS_NO_WORKBOOK")
    assert "did not come as an Excel workbook" in error["message"]


def test_a_workbook_needs_the_token_too(world: World) -> None:
    """A link without its token is refused before anything is said of the report."""
    request_id = str(uuid4())
    world.publish(export(request_id, [row()], workbook=True), request_id=request_id)

    answer = world.client.get(f"/reports/{request_id}/output.xlsx")

    assert (answer.status_code, answer.get_json()["error"]["details"][0]["reason"]) == (403, "DOWNLOAD_LINK_INVALID")


def test_what_excel_cannot_hold_is_left_out_and_told(world: World) -> None:
    """The CSV files are there as ever; the answer names the cell, its length and the limit."""
    request_id = str(uuid4())
    rows = [row(2), row(3, cells=["1", "x" * 32_768, "u"]), row(4)]
    url = world.publish(export(request_id, rows, workbook=True), request_id=request_id)["download_url"]

    told = links(world, request_id)
    error = world.follow(url.replace("output.csv", "output.xlsx")).get_json()["error"]

    assert told["xlsx_url"] is None
    assert "column 2 of line 3" in told["xlsx_left_out"]
    assert "32768 characters" in told["xlsx_left_out"]
    assert "32767 (max_xlsx_cell_chars)" in told["xlsx_left_out"]
    assert told["xlsx_left_out"] in error["message"]
    assert b"x" * 32_768 in world.follow(url).data


@pytest.mark.parametrize(
    ("cell", "fits"),
    [("x" * 32_767, True), ("x" * 32_768, False), ("😀" * 16_383, True), ("😀" * 16_384, False), ("\r" * 5_000, False)],
    ids=["all", "one more", "pairs", "a pair more", "escaped"],
)
def test_cells_are_counted_as_excel_counts(cell: str, fits: bool) -> None:
    """In UTF-16; nothing is cut off silently."""
    body, left_out = saved([row(2, cells=["1", cell, "u"])])

    assert (left_out is None) == fits
    assert not fits or loaded(body)[1][1] == cell


def test_columns_and_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """16,384 columns with our own two; a million rows are counted with a smaller number."""
    columns = {"serial": None, "name": None, "urls": [0], "output": None, "errors": None}
    wide = ["u"] * 16_382
    assert saved([], header=wide, columns=columns)[1] is None
    assert "16385 columns" in (saved([], header=[*wide, "u"], columns=columns)[1] or "")

    monkeypatch.setattr(module, "MAX_XLSX_ROWS", 3)
    assert saved([row(2), row(3)])[1] is None
    assert "more than 3 rows (max_xlsx_rows)" in (saved([row(2), row(3), row(4)])[1] or "")


@pytest.mark.parametrize("end", ["whole", "cut", "too long"])
def test_no_temporary_file_is_left(world: World, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the report is published, refused, or has no workbook."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    request_id = str(uuid4())
    lines = export(request_id, [row(2, cells=["1", "x" * (40_000 if end == "too long" else 1), "u"])], workbook=True)
    world.ingest.exports[request_id] = lines.rsplit(b"\n", 2)[0] + b"\n" if end == "cut" else lines

    answer = world.internal("/internal/reports", {"request_id": request_id})

    assert answer.status_code == (503 if end == "cut" else 200)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_rows() -> None:
    """Rows go to the temporary file: a hundred thousand cells take less than a tenth of their size."""
    batch, _ = read_export(iter(export(str(uuid4()), []).splitlines()))
    record = ExportRow(2, "1", "n", ("x" * 200,) * 20, ())
    book = OutputWorkbook(batch)
    book.write(record)
    tracemalloc.start()
    try:
        for _ in range(5_000):
            book.write(record)
        with tempfile.TemporaryFile() as out:
            book.save(out)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        book.close()
    assert peak_bytes < 2_000_000
