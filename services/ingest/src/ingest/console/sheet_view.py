"""What the page of a new batch says of a sheet: counters, columns with reasons, problems by code, the first rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.sheets.model import Dialect, Problem, Sheet, SheetError
from ingest.sheets.preview import preview_of, preview_of_seen

_SHOWN_OF_A_CODE = 50


@dataclass(frozen=True, slots=True)
class Group:
    """The problems of one code: how many, and the first of them."""

    code: str
    count: int
    problems: Sequence[Problem]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is which, and what there is to choose from; `reasons` by title."""

    titles: Sequence[str] = ()
    urls: Sequence[str] = ()
    name: str = ""
    serial: str = ""
    reasons: dict[str, str] = field(default_factory=dict)
    others: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SheetView:
    """A sheet as it was read; `sheet` is None when something is wrong with the whole of it."""

    dialect: Dialect | None
    columns: Columns
    rows: Sequence[dict[str, Any]]
    problems: Sequence[Group]
    problem_count: int
    warnings: Sequence[Group]
    warning_count: int
    sheet: Sheet | None = None
    estimate: dict[str, Any] | None = None

    @property
    def bad_rows(self) -> int:
        """Return how many rows cannot be used."""
        return 0 if self.sheet is None else self.sheet.facts.invalid_rows

    @property
    def good_rows(self) -> int:
        """Return how many rows can."""
        return 0 if self.sheet is None else self.sheet.facts.rows - self.bad_rows

    @property
    def bad_images(self) -> int:
        """Return how many links cannot be used; their rows can."""
        return 0 if self.sheet is None else self.sheet.facts.invalid_images

    @property
    def can_start(self) -> bool:
        """Return whether the sheet runs as it is."""
        return self.sheet is not None and not self.problem_count and self.sheet.facts.images > 0

    @property
    def can_skip(self) -> bool:
        """Return whether it runs without what is wrong with it."""
        return self.sheet is not None and bool(self.problem_count) and self.good_rows > 0


def view_of_sheet(sheet: Sheet, estimate: dict[str, Any] | None) -> SheetView:
    """Return what there is to say of a sheet that can be worked on, if need be without its bad rows."""
    titles, chosen = sheet.header, sheet.columns
    return SheetView(
        dialect=sheet.dialect,
        columns=Columns(
            titles=[title for title in titles if title],
            urls=[titles[index] for index in chosen.urls],
            name="" if chosen.name is None else titles[chosen.name],
            serial="" if chosen.serial is None else titles[chosen.serial],
            reasons={reason.title: reason.reason for reason in sheet.findings.reasons}
            | {other.title: other.reason for other in sheet.findings.other_pictures},
            others=[other.title for other in sheet.findings.other_pictures],
        ),
        rows=preview_of(sheet)["rows"],
        problems=grouped(sheet.problems.listed),
        problem_count=sheet.problems.count,
        warnings=grouped(sheet.warnings.listed),
        warning_count=sheet.warnings.count,
        sheet=sheet,
        estimate=estimate,
    )


def view_of_faults(error: SheetError) -> SheetView:
    """Return what there is to say of a sheet that cannot be worked on as it is."""
    seen = error.seen
    return SheetView(
        dialect=None if seen is None else seen.dialect,
        columns=Columns() if seen is None else Columns(titles=[title for title in seen.header if title]),
        rows=preview_of_seen(seen)["rows"],
        problems=grouped(error.problems.listed),
        problem_count=error.problems.count,
        warnings=(),
        warning_count=0,
    )


def grouped(problems: Iterable[Problem]) -> list[Group]:
    """Return problems by code, most frequent first; of each code the first are kept."""
    found: dict[str, list[Problem]] = {}
    for problem in problems:
        found.setdefault(problem.code.value, []).append(problem)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [Group(code, len(listed), listed[:_SHOWN_OF_A_CODE]) for code, listed in ordered]
