"""Writes the pages of faults, features and threats: the rows of `docs/catalogue/` with the tests that show each."""

from __future__ import annotations

import itertools
import string
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from docs.generate.marks import MarkedTest, marked_tests

ROOT = Path(__file__).resolve().parents[2]
TESTS = (ROOT / "tests", ROOT / "infra/local/tests")
REASONS = {"untested": "No test", "not_offered": "Not offered"}
"""The fields of a row that say why something is missing, and the words of the page for them."""

_TEXTS = {"fault": "fault", "feature": "promise", "threat": "who"}
_MORE = {"attack": "Attack", "stopped_by": "Stopped by"}
_WIDTH = 118


class CatalogueError(Exception):
    """The catalogue and the marks of the tests do not fit together; the message says every place."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def rows_with_tests(kind: str) -> str:
    """Return every section of the catalogue of a kind (fault, feature, threat), each row with its tests below it.

    Raises:
        CatalogueError: see `faults_of`.
    """
    sections, tests = sections_of(kind), _tests(kind)
    if faults := faults_of(sections, tests, kind):
        raise CatalogueError(faults)
    return "\n\n".join(_section(section, tests, kind) for section in sections)


def gaps(kind: str) -> str:
    """Return a list of what has no test, or is not offered, with the reasons."""
    lines = []
    for row in _rows(sections_of(kind)):
        for field, words in REASONS.items():
            if field in row:
                lines.append(_item(f"{row['id']}: {row[_TEXTS[kind]]}. {words}: {row[field]}.", 0))
    return "\n".join(lines)


@cache
def sections_of(kind: str) -> tuple[dict[str, Any], ...]:
    """Return the sections of `docs/catalogue/`, in order."""
    return tuple(yaml.safe_load((ROOT / f"docs/catalogue/{kind}s.yaml").read_text(encoding="utf-8")))


def faults_of(sections: tuple[dict[str, Any], ...], tests: dict[str, list[MarkedTest]], kind: str) -> list[str]:
    """Return what is wrong between a catalogue and the marks.

    Each id follows the one before it, each row has a test or a reason, and each mark names a row.
    """
    rows = _rows(sections)
    faults = [
        f"{kind} {row['id']} does not follow {before['id']}"
        for before, row in itertools.pairwise(rows)
        if row["id"] not in _successors(before["id"])
    ]
    for row in rows:
        if row["id"] not in tests and not REASONS.keys() & row.keys():
            faults.append(f"{kind} {row['id']} has neither a test nor a reason")
        if row["id"] in tests and "untested" in row:
            faults.append(f"{kind} {row['id']} has a test and says that it has none")
    known = {row["id"] for row in rows}
    faults += [
        f"{test.path.name}::{test.name} is marked {kind} {id_}, which is not in the catalogue"
        for id_ in sorted(tests.keys() - known)
        for test in tests[id_]
    ]
    return faults


@cache
def _tests(kind: str) -> dict[str, list[MarkedTest]]:
    return marked_tests(TESTS, kind)


def _rows(sections: tuple[dict[str, Any], ...]) -> list[dict[str, str]]:
    return [row for section in sections for row in section["rows"]]


def _successors(id_: str) -> set[str]:
    number = id_.lstrip(string.ascii_uppercase)
    letter = id_.removesuffix(number)
    return {f"{letter}{int(number) + 1}"} | ({f"{chr(ord(letter) + 1)}1"} if letter else set())


def _section(section: dict[str, Any], tests: dict[str, list[MarkedTest]], kind: str) -> str:
    lines = [f"## {section['section']}", ""]
    for row in section["rows"]:
        lines.append(_item(f"**{row['id']}** {row[_TEXTS[kind]]}", 0))
        lines += [_item(f"{words}: {row[field]}", 2) for field, words in (_MORE | REASONS).items() if field in row]
        lines += [_test_line(test) for test in tests.get(row["id"], ())]
    return "\n".join(lines)


def _item(text: str, indent: int) -> str:
    inner = " " * (indent + 2)
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=f"{' ' * indent}- ",
        subsequent_indent=inner,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _test_line(test: MarkedTest) -> str:
    path = test.path.relative_to(ROOT)
    return f"  - [{path.stem}](../{path}) `{test.name}`"
