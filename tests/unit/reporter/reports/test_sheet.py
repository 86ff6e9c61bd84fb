"""The files of a report: same slot in, same slot out, whatever failed; the user's cells as they came."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reporter.reports.export_reader import read_export
from reporter.reports.sheet import FailedSheet, OutputSheet, ResultLines
from support.reporter_service import HEADER, export, failed_image, image, row

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
output_urls = st.from_regex(r"https://cdn\.test/[a-z0-9,;=%]{1,8}\.jpg", fullmatch=True)


def written(make: Any, rows: list[dict[str, Any]], **batch: Any) -> str:
    """Return a file of a report as text."""
    lines = export(str(uuid4()), rows, **batch).splitlines()
    batch_record, read = read_export(iter(lines))
    out = io.StringIO(newline="")
    writer = make(out, batch_record)
    for record in read:
        writer.write(record)
    return out.getvalue()


def parsed(text: str) -> list[list[str]]:
    """Return a CSV text as a spreadsheet reads it."""
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:], newline=""), strict=True))


@st.composite
def sheets(draw: st.DrawFn) -> tuple[list[str], list[dict[str, Any]], dict[str, Any]]:
    """Draw a header, rows with any cells and any pattern of failures, and the columns."""
    width = draw(st.integers(1, 5))
    header = draw(st.lists(cells.filter(lambda name: not name.startswith("\ufeff")), min_size=width, max_size=width))
    places = st.one_of(st.none(), st.integers(0, width - 1))
    output = draw(places)
    errors = draw(places.filter(lambda index: index is None or index != output))
    columns = {"serial": None, "name": None, "urls": [0], "output": output, "errors": errors}
    rows = []
    for number in range(draw(st.integers(0, 4))):
        images = [
            image(slot, output_url=draw(output_urls)) if draw(st.booleans()) else failed_image(slot, detail=draw(cells))
            for slot in range(draw(st.integers(0, 4)))
        ]
        line = draw(st.lists(cells, min_size=width, max_size=width))
        rows.append(row(number + 2, images, cells=line))
    return header, rows, columns


@pytest.mark.feature("23")
@pytest.mark.fault("F12")
@given(sheets())
@settings(max_examples=100, deadline=None)
def test_output_is_the_input_with_aligned_slots_beside_it(
    sheet: tuple[list[str], list[dict[str, Any]], dict[str, Any]],
) -> None:
    """For any cells and any failures, taking our columns away leaves the input, and slot i is slot i."""
    header, rows, columns = sheet

    header_out, *lines = parsed(written(OutputSheet, rows, header=header, columns=columns))

    added = ["Output Image Urls"] * (columns["output"] is None) + ["Image Errors"] * (columns["errors"] is None)
    output = len(header) if columns["output"] is None else columns["output"]
    errors = header_out.index("Image Errors", len(header)) if columns["errors"] is None else columns["errors"]
    kept = [index for index in range(len(header)) if index not in (output, errors)]
    assert header_out == [*header, *added]
    assert [[line[index] for index in kept] for line in lines] == [
        [record["cells"][index] for index in kept] for record in rows
    ]
    assert [line[output] for line in lines] == [
        ",".join((i["output_url"] or "").replace(",", "%2C") for i in record["images"]) for record in rows
    ]
    assert [[bool(part) for part in line[errors].split(",")] for line in lines if line[errors]] == [
        [i["status"] == "FAILED" for i in record["images"]]
        for record in rows
        if any(i["status"] == "FAILED" for i in record["images"])
    ]
    assert not any(line[index].startswith(FORMULA_STARTS) for line in lines for index in (output, errors))


@pytest.mark.feature("51")
def test_a_failed_slot_stays_empty_between_its_commas() -> None:
    """The second of three images failed: its place is empty in one column and filled in the other."""
    images = [image(0), failed_image(1), image(2)]

    _, line = parsed(written(OutputSheet, [row(2, images)]))

    assert line[3:] == ["https://cdn.test/0.jpg,,https://cdn.test/2.jpg", ",HTTP_4XX: HTTP 404,"]


@pytest.mark.feature("50")
def test_the_file_is_rfc_4180_with_a_byte_order_mark() -> None:
    """CRLF ends every line, quotes are doubled, nothing else is quoted; byte for byte."""
    text = written(OutputSheet, [row(2, [image()], cells=["1", 'A "big" one', "https://shop.test/0.png"])])

    assert text == (
        "\ufeffS. No.,Product Name,Input Image Urls,Output Image Urls,Image Errors\r\n"
        '1,"A ""big"" one",https://shop.test/0.png,https://cdn.test/0.jpg,\r\n'
    )


@pytest.mark.feature("49")
def test_duplicate_and_blank_rows_are_kept() -> None:
    """Every row of the input has its row in the output, in order."""
    twice = row(2, [image()], cells=["1", "Same", "u"])
    blank = row(4, [], serial="", product_name="", cells=["", "", ""])
    rows = [twice, {**twice, "row_number": 3}, blank, row(5, [image()])]

    lines = parsed(written(OutputSheet, rows))

    assert [line[:2] for line in lines[1:]] == [["1", "Same"], ["1", "Same"], ["", ""], ["5", "Product 5"]]
    assert lines[3] == ["", "", "", "", ""]


def test_a_line_without_cells_stays_a_blank_line() -> None:
    """A line that held nothing at all holds nothing at all."""
    text = written(OutputSheet, [row(2, [], cells=[])])

    assert text.endswith("Image Errors\r\n\r\n")


@pytest.mark.feature("49")
def test_existing_columns_are_filled_in_place() -> None:
    """A sheet that went through before gets no second pair of columns."""
    header = ["Output Image Urls", "Input Image Urls", "Image Errors", "Note"]
    columns = {"serial": None, "name": None, "urls": [1], "output": 0, "errors": 2}
    old = row(2, [image(0), failed_image(1)], cells=["old", "a,b", "old error", "keep"])

    lines = parsed(written(OutputSheet, [old], header=header, columns=columns))

    assert lines == [header, ["https://cdn.test/0.jpg,", "a,b", ",HTTP_4XX: HTTP 404", "keep"]]


def test_surplus_cells_follow_our_columns() -> None:
    """A row longer than its header keeps all of its cells, and our columns stay under their titles."""
    lines = parsed(written(OutputSheet, [row(2, [image()], cells=["1", "P", "u", "more"])]))

    assert lines[1] == ["1", "P", "u", "https://cdn.test/0.jpg", "", "more"]


@pytest.mark.feature("50")
@pytest.mark.fault("F11")
@pytest.mark.threat("T7")
@pytest.mark.parametrize("start", FORMULA_STARTS, ids=repr)
def test_cells_we_add_never_start_like_a_formula(start: str) -> None:
    """Whatever a code or a URL looks like, a spreadsheet takes our cells for text; the user's stay verbatim."""
    images = [failed_image(0, code=f"{start}cmd|'/c calc'!A1")]
    links = [image(0, output_url=f"{start}HYPERLINK")]

    lines = parsed(written(OutputSheet, [row(2, images, cells=[f"{start}1", "P", "u"]), row(3, links)]))

    assert not lines[1][4].startswith(FORMULA_STARTS)
    assert not lines[2][3].startswith(FORMULA_STARTS)
    assert lines[1][0] == f"{start}1"


def test_an_error_text_never_shifts_the_slots() -> None:
    """Commas and line breaks of a detail are replaced."""
    images = [failed_image(0, detail="a, b\nc"), image(1)]

    _, line = parsed(written(OutputSheet, [row(2, images)]))

    assert line[4] == "HTTP_4XX: a; b c,"


def test_cancelled_images_show_why_they_are_missing() -> None:
    """A slot without an outcome names its state."""
    images = [
        failed_image(0, status="CANCELLED", code="CANCELLED", detail=None),
        failed_image(1, status="PENDING", code=None),
    ]

    _, line = parsed(written(OutputSheet, [row(2, images)]))

    assert line[4] == "CANCELLED,PENDING: HTTP 404"


def test_failed_rows_can_be_uploaded_again() -> None:
    """failed.csv has the original header and only the failed URLs of the rows that have some."""
    rows = [
        row(2, [image(0), image(1)]),
        row(3, [image(0), failed_image(1), failed_image(2)], cells=["3", "=P", "a,b,c"]),
        row(4, []),
    ]

    lines = parsed(written(FailedSheet, rows))

    assert lines == [HEADER, ["3", "=P", "https://shop.test/1.png,https://shop.test/2.png"]]


def test_failed_urls_gather_in_the_first_url_column() -> None:
    """Of several URL columns the first holds what failed and the others nothing; cells beyond the header go."""
    columns = {"serial": None, "name": None, "urls": [1, 2], "output": None, "errors": None}
    record = row(2, [image(0), failed_image(1)], cells=["n", "u0", "u1", "u2"])

    lines = parsed(written(FailedSheet, [record], header=["name", "a", "b"], columns=columns))

    assert lines[1] == ["n", "https://shop.test/1.png", ""]


def test_failed_urls_stand_in_the_columns_that_they_came_from() -> None:
    """As the export tells them; of a release that told none see above."""
    columns = {"serial": None, "name": None, "urls": [1, 3], "output": None, "errors": None}
    images = [failed_image(0) | {"column": 1}, image(1) | {"column": 1}, failed_image(2) | {"column": 3}]
    record = row(2, images, cells=["n", "u0,u1", "x", "u2"])

    lines = parsed(written(FailedSheet, [record], header=["name", "a", "other", "b"], columns=columns))

    assert lines[1] == ["n", "https://shop.test/0.png", "x", "https://shop.test/2.png"]


def test_result_lines_are_one_json_object_each() -> None:
    """Line breaks in a name do not break the line."""
    text = written(ResultLines, [row(2, [image(0)], product_name="a\nb\u2028c")])

    assert [json.loads(line)["product_name"] for line in text.split("\n") if line] == ["a\nb\u2028c"]


def skipped_row() -> dict[str, Any]:
    """Return a row that ingest left out, as its export tells it."""
    problem = {
        "column": "Input Image Urls",
        "code": "URL_INVALID",
        "message": "not http, not https",
        "value": "ftp://x",
    }
    return {**row(2, [], cells=["1", "Lamp", "ftp://x"]), "problems": [problem]}


def test_a_row_that_was_left_out_says_why() -> None:
    """Its output stays empty and its errors name every problem, without commas."""
    lines = parsed(written(OutputSheet, [skipped_row()]))

    assert lines[1][-2:] == ["", "ROW_SKIPPED: URL_INVALID: not http; not https"]


def test_a_row_that_was_left_out_is_in_failed_csv_as_it_came() -> None:
    """It can be mended there and uploaded again."""
    assert parsed(written(FailedSheet, [skipped_row()]))[1] == ["1", "Lamp", "ftp://x"]


def test_a_row_that_was_left_out_has_a_result_line() -> None:
    """results.jsonl carries everything, problems too."""
    record = json.loads(written(ResultLines, [skipped_row()]))

    assert [problem["code"] for problem in record["problems"]] == ["URL_INVALID"]
