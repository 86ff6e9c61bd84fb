"""Cases of each class of sheets that shops upload, as data; the form stands in `cases/README.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest.sheets.corrected import column_titles
from ingest.sheets.encodings import encoding_of_label
from ingest.sheets.intake import SheetRequest, read_sheet
from ingest.sheets.model import OnInvalid, Problem, SheetError, SheetLimits

LIMITS = SheetLimits(max_bytes=1_000_000, max_rows=1000, max_images=1000, max_urls_per_cell=100, max_columns=1000)
FOLDER = Path(__file__).parent / "cases"
KEYS = {"name", "sheet", "cell", "encoding", "ask", "rows", "warnings", "warns", "refused", "dialect"} | {
    *("columns", "platform", "numbers", "problems"),
}


def cases() -> list[Any]:
    """Return every case of every file, named by both."""
    return [
        pytest.param(case, id=f"{path.stem}: {case['name']}")
        for path in sorted(FOLDER.glob("*.yaml"))
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]


def body_of(case: dict[str, Any]) -> bytes:
    """Return the bytes of a case's sheet; of one row if only the cell of its links is given."""
    if "cell" in case:
        quoted = case["cell"].replace('"', '""')
        return f'Product Name,Input Image Urls\nLamp,"{quoted}"\n'.encode()
    text: str = case["sheet"]
    return text.encode(case.get("encoding", "utf-8"))


def asked(said: dict[str, Any]) -> SheetRequest:
    """Return what the sender of a case says."""
    columns = {
        what: tuple([titles] if isinstance(titles, str) else titles or ())
        for what, titles in said.get("columns", {}).items()
    }
    encoding = encoding_of_label(said.get("encoding", ""))
    return SheetRequest(columns=columns, on_invalid=OnInvalid(said.get("on_invalid", "reject")), encoding=encoding)


def told(problems: list[Problem]) -> list[str]:
    """Return problems in the form of the cases."""
    return [f"{'-' if problem.row is None else problem.row} {problem.code.value}" for problem in problems]


@pytest.mark.parametrize("case", cases())
def test_a_sheet_of_a_known_kind_is_read_as_it_was_meant(case: dict[str, Any]) -> None:
    """Its rows and links, what is told of it, or why it is refused."""
    assert set(case) <= KEYS
    body = body_of(case)
    request = asked(case.get("ask", {}))
    if "refused" in case:
        with pytest.raises(SheetError) as caught:
            read_sheet(body, LIMITS, request)
        first = caught.value.problems.listed[0]
        assert (first.row, first.code.value) == (case["refused"]["row"], case["refused"]["code"])
        assert [text for text in case["refused"].get("mentions", []) if text not in first.message] == []
        assert len(first.message) <= 500
        return
    sheet = read_sheet(body, LIMITS, request)
    rows = {row.number: row for row in sheet.rows}
    for number, expected in case.get("rows", {}).items():
        assert rows[number].name == expected.get("name", rows[number].name)
        assert list(rows[number].urls) == expected.get("urls", list(rows[number].urls))
    warnings = told(sheet.warnings.listed)
    assert warnings == case.get("warnings", warnings)
    assert [each for each in case.get("warns", []) if each not in warnings] == []
    problems = told(sheet.problems.listed)
    assert problems == case.get("problems", problems)
    assert list(rows) == case.get("numbers", list(rows))
    titles = column_titles(sheet)
    assert {role: titles.get(role) for role in case.get("columns", {})} == case.get("columns", {})
    assert sheet.findings.platform == case.get("platform", sheet.findings.platform)
    dialect = sheet.dialect.to_json()
    assert {key: dialect.get(key) for key in case.get("dialect", {})} == case.get("dialect", {})
