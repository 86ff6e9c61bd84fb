"""A download for spreadsheets: what looks like a formula is text, and nothing else changes."""

from __future__ import annotations

import csv
import io
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reporter.reports.escaping import FORMULA_STARTS, escaped_csv
from support.reporter_service import World, export, failed_image, row

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
FORMULAS = st.tuples(st.sampled_from(FORMULA_STARTS), CELLS).map("".join)


def written(rows: list[list[str]]) -> bytes:
    """Return an RFC 4180 file."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()


def read(body: bytes) -> list[list[str]]:
    """Return the cells of a file."""
    return list(csv.reader(io.StringIO(body.decode(), newline=""), strict=True))


@pytest.mark.fault("F11")
@pytest.mark.threat("T7")
@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.lists(CELLS | FORMULAS, max_size=4), max_size=5), piece_bytes=st.integers(1, 40))
def test_only_what_looks_like_a_formula_changes(rows: list[list[str]], piece_bytes: int) -> None:
    """However the bytes arrive: one apostrophe before such a cell, every other cell as it was, rows as wide."""
    body = written(rows)
    pieces = [body[start : start + piece_bytes] for start in range(0, len(body), piece_bytes)]

    escaped = read(b"".join(escaped_csv(pieces, bom="")))

    assert escaped == [[f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell for cell in cells] for cells in rows]
    assert not any(cell.startswith(FORMULA_STARTS) for cells in escaped for cell in cells)


@pytest.mark.feature("50")
@pytest.mark.parametrize("file_name", ["output.csv", "failed.csv"])
@pytest.mark.parametrize("bom", [True, False])
def test_both_sheets_can_be_had_safe(world: World, file_name: str, bom: bool) -> None:
    """excel_safe=1 escapes the user's cells too; without it they are theirs."""
    request_id = str(uuid4())
    cells = ["=1+1", '@x,"y"', "https://a.example/1.jpg"]
    world.publish(export(request_id, [row(2, [failed_image()], cells=cells)]), request_id=request_id)
    links = world.client.get("/download_csv", query_string={"request_id": request_id}).get_json()
    url = links["download_url" if file_name == "output.csv" else "failed_url"]

    plain = world.follow(url).data.decode("utf-8-sig")
    safe = world.follow(f"{url}&excel_safe=1&bom={int(bom)}")

    assert read(plain.encode())[1][:2] == cells[:2]
    assert safe.data.startswith(b"\xef\xbb\xbf") == bom
    assert read(safe.data.decode("utf-8-sig").encode())[1][:2] == ["'=1+1", '\'@x,"y"']
    assert "Content-Length" not in safe.headers


def test_a_long_report_is_escaped_piece_by_piece() -> None:
    """A cell longer than the csv module's usual bound passes, and the whole is never held."""
    body = written([["=x", "é" * 200_000]] * 3)
    pieces = list(escaped_csv(iter([body]), bom="\ufeff"))

    assert len(pieces) > 3
    assert read(b"".join(pieces).removeprefix(b"\xef\xbb\xbf")) == [["'=x", "é" * 200_000]] * 3
