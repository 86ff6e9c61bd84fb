"""`make conformance`: runs the conformance cases and counts them by area and by how we know.

A case is `documented` (a page of Google's says so), `recorded` (seen from the real service) or `assumed` (neither; it
names the line of `localcloud/fidelity.yaml` that says what we chose).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
CASES = CONTRACT / "cases"
RUNNERS = [str(path) for path in sorted(CONTRACT.glob("test_*_cases.py"))]
EVIDENCE = ("documented", "recorded", "assumed")


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """What the report needs of one case; `fidelity` is the id of its line in the fidelity data, or None."""

    area: str
    title: str
    known_from: str
    source: str
    fidelity: str | None


def all_cases() -> list[CaseRecord]:
    """Return every conformance case, in the order of the files."""
    return [
        _record(f"{path.parent.name}/{path.stem}", {**group, **case})
        for path in sorted(CASES.rglob("*.yaml"))
        for group in yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        for case in group["cases"]
    ]


def fidelity_lines() -> list[dict[str, str]]:
    """Return the fidelity data that ships with localcloud."""
    text = (resources.files("localcloud") / "fidelity.yaml").read_text(encoding="utf-8")
    lines: list[dict[str, str]] = yaml.safe_load(text)
    return lines


def report(cases: Iterable[CaseRecord]) -> str:
    """Return the counts as a table, areas down and evidence across."""
    counts = Counter((case.area, case.known_from) for case in cases)
    areas = sorted({area for area, _ in counts})
    width = max(map(len, [*areas, "total"]))
    rows: list[tuple[str, ...]] = [("area", *EVIDENCE, "all")]
    rows += [_row(area, [counts[area, evidence] for evidence in EVIDENCE]) for area in areas]
    rows.append(_row("total", [sum(counts[area, evidence] for area in areas) for evidence in EVIDENCE]))
    return "\n".join(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells).rstrip() for name, *cells in rows)


def _row(name: str, numbers: list[int]) -> tuple[str, ...]:
    return (name, *(str(number) for number in [*numbers, sum(numbers)]))


def _record(area: str, case: dict[str, Any]) -> CaseRecord:
    return CaseRecord(
        area=area,
        title=str(case.get("name") or case.get("expression") or case.get("connector")),
        known_from=str(case.get("known_from", "")),
        source=str(case.get("source", "")),
        fidelity=case.get("fidelity"),
    )


def main() -> int:
    """Run the cases, print the counts, and return pytest's exit code."""
    code = pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", *RUNNERS])
    print(report(all_cases()))  # noqa: T201 - a command line
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
