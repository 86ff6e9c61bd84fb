"""The page of failures names tests that exist, and no failure is told without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| ([^|]+) \| [^|]+ \| `([^`]+)` \|$", (ROOT / "docs/failures.md").read_text(encoding="utf-8"), re.MULTILINE
)


def test_every_row_names_a_test() -> None:
    """The header and its rule are the only lines of the table without one."""
    lines = [line for line in (ROOT / "docs/failures.md").read_text(encoding="utf-8").splitlines() if line[:1] == "|"]

    assert len(ROWS) == len(lines) - 2
    assert len(ROWS) > 30


@pytest.mark.parametrize(
    ("failure", "test"), ROWS, ids=[test.rpartition("::")[2] + f"-{n}" for n, (_, test) in enumerate(ROWS)]
)
def test_the_named_test_exists(failure: str, test: str) -> None:
    """A renamed test would leave the page with a promise that nobody keeps."""
    path, _, name = test.partition("::")

    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), failure
