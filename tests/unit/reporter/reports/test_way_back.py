"""The sheet comes back as it was written: delimiter, line ends, quotes, titles, and its encoding where asked for."""

from __future__ import annotations

import csv
import io

import pytest

from reporter.reports.escaping import escaped_csv
from reporter.reports.export_reader import Columns, ExportBatch, ExportRow, Writing
from reporter.reports.sheet import FailedSheet, OutputSheet

TITLES = (" Artikel ", "Preis", "Bild")
CELLS = ("Lampe; rot", "12,50", "https://a.example/1.jpg")


def written(writing: Writing, cells: tuple[str, ...] = CELLS) -> str:
    """Return output.csv of one row without images."""
    batch = ExportBatch("id", None, 1, "COMPLETED", 0, "x.csv", TITLES, Columns((2,), None, None), writing)
    out = io.StringIO(newline="")
    OutputSheet(out, batch).write(ExportRow(2, "", "Lampe", cells, ()))
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_delimiter_line_ends_and_titles_are_the_sheets(delimiter: str, line_end: str) -> None:
    """Blanks around titles stay, and cells that hold the delimiter stand in quotes."""
    text = written(Writing(delimiter=delimiter, line_end=line_end, bom=False))
    assert text.endswith(line_end)
    assert text.count(line_end) == 2
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    assert [tuple(row[:3]) for row in rows] == [TITLES, CELLS]


def test_a_sheet_whose_cells_all_stand_in_quotes_comes_back_like_that() -> None:
    """Some importers accept nothing else."""
    assert written(Writing(quote_all=True, bom=False)).startswith('" Artikel ","Preis","Bild","Output Image Urls"')


def test_a_line_break_in_a_cell_is_quoted_whatever_ends_the_lines() -> None:
    """A carriage return alone would end the row for some readers."""
    text = written(Writing(line_end="\n", bom=False), ("a\rb", "c\nd", ""))
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True))[1][:2] == ["a\rb", "c\nd"]


def test_rows_that_failed_come_back_in_the_same_way() -> None:
    """failed.csv is uploaded again: it must read as the sheet did."""
    batch = ExportBatch(
        "id", None, 1, "COMPLETED", 0, "x.csv", TITLES, Columns((2,), None, None), Writing(delimiter=";")
    )
    out = io.StringIO(newline="")
    FailedSheet(out, batch)
    assert out.getvalue() == "\ufeff Artikel ;Preis;Bild\r\n"


@pytest.mark.parametrize("codec", ["utf-8", "cp1251", "cp932", "utf-16-le"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_formulas_are_escaped_in_any_encoding(codec: str, line_end: str, size: int) -> None:
    """However the bytes are cut into pieces, and whatever ends the lines."""
    body = f'a;b{line_end}=1;"x{line_end}y"{line_end}'.encode(codec)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    text = b"".join(escaped_csv(pieces, bom="", codec=codec, delimiter=";")).decode(codec)
    assert list(csv.reader(io.StringIO(text, newline=""), delimiter=";")) == [["a", "b"], ["'=1", f"x{line_end}y"]]
