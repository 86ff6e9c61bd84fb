"""docs/threats.md, faults.md and features.md name tests: each exists, no row is forgotten, and gaps are told."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = (ROOT / "tests", ROOT / "infra/local/tests")
DOCUMENTS = ("threats.md", "faults.md", "features.md")
FAULTS = {"A": 22, "B": 13, "C": 10, "D": 20, "E": 19, "F": 24, "G": 11, "H": 16, "I": 10, "J": 9}
"""Rows of each table of the catalogue."""

ROWS = {
    "threats.md": [f"T{number}" for number in range(1, 20)],
    "faults.md": [f"{table}{number}" for table, count in FAULTS.items() for number in range(1, count + 1)],
    "features.md": [str(number) for number in range(1, 63)],
}
"""The rows of each document, in order."""

GAPS = {"faults.md": ("No test:", "## Not tested"), "features.md": ("Not offered:", "## Not offered")}
"""How a row says that something is missing, and the section of docs/limits.md that repeats it."""

_REFERENCE = re.compile(r"`([\w/]+\.py)::(\w+)`")


def text_of(document: str) -> str:
    """Return a page of docs/."""
    return (ROOT / "docs" / document).read_text(encoding="utf-8")


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    """Return the names of the test functions of a module, those of its classes included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = (node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in found if name.startswith("test_"))


def rows_of(document: str) -> list[tuple[str, str]]:
    """Return the ids of a document's rows with the rest of each."""
    lines = [line for line in text_of(document).splitlines() if re.match(r"\| [A-Z]?\d+ \|", line)]
    return [(row[0], row[1]) for row in (line.strip("| ").split(" | ", 1) for line in lines)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_named_test_exists(document: str) -> None:
    """A renamed or deleted test is noticed here."""
    missing = [
        f"{path}::{name}"
        for path, name in _REFERENCE.findall(text_of(document))
        if not any((tests / path).is_file() and name in names_of_tests(tests / path) for tests in TESTS)
    ]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_row_is_there_once(document: str) -> None:
    """In order; a row that is lost by accident is noticed."""
    assert [row for row, _ in rows_of(document)] == ROWS[document]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_row_has_a_test_or_says_why_not(document: str) -> None:
    """A threat always has one."""
    excuse = GAPS.get(document, ("\0", ""))[0]

    assert [row for row, rest in rows_of(document) if not _REFERENCE.search(rest) and excuse not in rest] == []


@pytest.mark.parametrize("document", GAPS)
def test_every_gap_is_told_with_the_limits(document: str) -> None:
    """Whoever reads docs/limits.md learns of each, and of none that is closed."""
    excuse, heading = GAPS[document]
    section = text_of("limits.md").partition(f"{heading}\n")[2].partition("\n## ")[0]
    starts = re.findall(r"^- ([A-Z]?\d+(?:, [A-Z]?\d+)*):", section, re.MULTILINE)

    assert sorted(row for start in starts for row in start.split(", ")) == sorted(
        row for row, rest in rows_of(document) if excuse in rest
    )
