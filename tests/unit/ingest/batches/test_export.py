"""A sheet through both services and back: ingest reads, stores and exports it, the reporter writes the files."""

from __future__ import annotations

import csv
import io
import json

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reporter.reports.export_reader import read_export
from reporter.reports.sheet import FailedSheet, OutputSheet
from support.ingest_service import Lab
from unit.ingest.sheets.dialect_corpus import SAVED, WRITTEN, Dialect

HEADER = ["S. No.", "Product Name", "Colour", "Input Image Urls"]
OURS = ["Output Image Urls", "Image Errors"]
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff"), max_size=12)
LINKS = st.integers(1, 5).map("https://a.example/{}.jpg?c=f_auto,q_50".format)
ROWS = st.lists(
    st.tuples(CELLS, CELLS, CELLS, st.lists(LINKS, max_size=3).map(", ".join)).map(list), min_size=1, max_size=6
)


def written(rows: list[list[str]]) -> bytes:
    """Return an RFC 4180 file."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()


def read(body: bytes) -> list[list[str]]:
    """Return the cells of a file."""
    return list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))


def run(lab: Lab, body: bytes, *, failing: str = "") -> tuple[bytes, bytes]:
    """Run a batch, let URLs with `failing` in them fail, and return output.csv and failed.csv."""
    answer = lab.upload(body)
    assert answer.code == 202, answer.text
    request_id = answer.json["request_id"]
    execution = lab.start(request_id)
    while payloads := lab.claim(request_id, execution):
        for payload in payloads:
            gone = bool(failing) and failing in payload["url"]
            lab.report(payload, **({"outcome": "FAILED", "code": "HTTP_404", "detail": "gone"} if gone else {}))
    lab.finish(request_id, execution)
    export = lab.internal("reporter", "GET", f"/internal/batches/{request_id}/export").text.encode()
    batch, rows = read_export(iter(export.splitlines()))
    output, failed = io.StringIO(newline=""), io.StringIO(newline="")
    writers = OutputSheet(output, batch), FailedSheet(failed, batch)
    for row in rows:
        for writer in writers:
            writer.write(row)
    return output.getvalue().encode(), failed.getvalue().encode()


@pytest.mark.feature("23", "49")
@pytest.mark.fault("F11", "F12")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_output_minus_our_columns_is_the_input(lab: Lab, rows: list[list[str]]) -> None:
    """Cell for cell, blank and duplicate rows included; slot i of the output belongs to URL i of the input."""
    output, _failed = run(lab, written([HEADER, *rows]), failing="/3.jpg")

    table = read(output)
    assert table[0] == HEADER + OURS
    assert [row[:4] for row in table[1:]] == rows
    for row in table[1:]:
        links = row[3].split(", ") if row[3] else []
        made = row[4].split(",") if links else []
        assert [bool(url) for url in made] == ["/3.jpg" not in link for link in links]


@pytest.mark.parametrize("case", [*SAVED, *WRITTEN], ids=lambda case: case.name)
def test_our_output_is_accepted_as_the_next_input(lab: Lab, case: Dialect) -> None:
    """Whatever the first sheet was saved as: the second run gives the same table, with no second pair of columns."""
    first, _ = run(lab, case.body)
    second, _ = run(lab, first)

    once, twice = read(first), read(second)
    assert once[0] == twice[0]
    assert len(once) == len(twice)
    place = next(i for i, title in enumerate(once[0]) if title == OURS[0] or "utput" in title)
    for before, after in zip(once[1:], twice[1:], strict=True):
        assert before[:place] == after[:place]
        assert before[place].count(",") == after[place].count(",")


@pytest.mark.feature("51")
def test_failed_csv_runs_only_what_failed(lab: Lab) -> None:
    """Uploaded as it is, it makes a batch of the failed images; once they succeed, nothing is left in it."""
    rows = [["1", "=Lamp", "red", "https://a.example/1.jpg, https://a.example/3.jpg"], ["2", "", "", ""]]
    rows.append(["3", "Desk", "blue", "https://a.example/2.jpg"])
    _, failed = run(lab, written([HEADER, *rows]), failing="/3.jpg")

    output, again = run(lab, failed)

    assert read(failed) == [HEADER, ["1", "=Lamp", "red", "https://a.example/3.jpg"]]
    assert [row[:4] for row in read(output)] == read(failed)
    assert read(again) == [HEADER]


@pytest.mark.parametrize("layout", ["csv", "workbook"])
def test_the_export_says_whether_the_sheet_came_as_a_workbook(lab: Lab, layout: str) -> None:
    """Only then, so that a reporter of the release before reads the lines that it knows."""
    rows = [HEADER, ["1", "Lamp", "x", "https://a.example/1.jpg"]]
    body = written(rows)
    if layout == "workbook":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        file = io.BytesIO()
        book.save(file)
        body = file.getvalue()
    answer = lab.upload(body)
    assert answer.code == 202, answer.text

    export = lab.internal("reporter", "GET", f"/internal/batches/{answer.json['request_id']}/export").text

    assert json.loads(export.splitlines()[0]).get("workbook") == (True if layout == "workbook" else None)
