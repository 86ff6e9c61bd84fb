"""A row is as wide as its header, perhaps after a repair that is told; what could be meant in two ways is refused."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.sheets.model import Columns, Dialect, Layout, Problem, ProblemCode
from ingest.sheets.repairs import gathered_urls, looks_like_url, unpacked_line

QUOTES = {"“": "”", "„": "“”", "«": "»", "»": "«", "‘": "’", "‚": "‘’", "「": "」", "『": "』", "'": "'", "`": "`"}
"""Quotes that CSV does not know, each with those that close it."""

_MAX_SHOWN_CHARS = 60


class RowFitter:
    """Fits the cells of records to a header."""

    def __init__(self, header: Sequence[str], columns: Columns, dialect: Dialect) -> None:
        self._header = header
        self._columns = columns
        self._dialect = dialect

    def fitted(
        self, number: int, cells: list[str], problems: list[Problem], warnings: list[Problem]
    ) -> list[str] | None:
        """Return the cells if there is one for each column, perhaps after a repair, else None after telling why."""
        width = len(self._header)
        if len(cells) == 1 < width:
            cells = self._unpacked(number, cells, warnings)
        if len(cells) > width:
            cells = self._with_foreign_quotes(number, cells, warnings)
        if len(cells) < width:
            return self._filled_up(number, cells, problems, warnings)
        extra = cells[width:]
        if any(cell.strip() for cell in extra):
            return self._gathered(number, cells, problems, warnings)
        if extra:
            message = f"{len(extra)} empty cells behind the last column."
            warnings.append(Problem(number, None, ProblemCode.EXTRA_EMPTY_CELLS, message))
        return cells[:width]

    def _unpacked(self, number: int, cells: list[str], warnings: list[Problem]) -> list[str]:
        inner = unpacked_line(cells, self._columns, len(self._header), self._dialect.delimiter)
        if inner is None:
            return cells
        if self._dialect.layout is not Layout.QUOTED_LINES:
            message = "The line stands in double quotes as a whole; they were taken off."
            warnings.append(Problem(number, None, ProblemCode.QUOTED_LINES, message))
        return inner

    def _with_foreign_quotes(self, number: int, cells: list[str], warnings: list[Problem]) -> list[str]:
        joined = joined_by_quotes(cells, self._dialect.delimiter)
        if len(joined) < len(self._header) or len(joined) == len(cells):
            return cells
        opening = next(cell.strip()[0] for cell in cells if cell.strip()[:1] in QUOTES)
        message = f'Cells stand in {opening} quotes; they were read as double quotes ("), which a CSV has.'
        warnings.append(Problem(number, None, ProblemCode.FOREIGN_QUOTES, message))
        return joined

    def _filled_up(
        self, number: int, cells: list[str], problems: list[Problem], warnings: list[Problem]
    ) -> list[str] | None:
        """Return a short row with empty cells at its end, as exports leave them out."""
        width = len(self._header)
        title = self._header[len(cells)]
        if self._is_shifted(cells):
            message = (
                f"The row has {len(cells)} cells; the header has {width}. A link stands in '{self._header[0][:30]}',"
                " so cells seem to be missing before it."
            )
            problems.append(Problem(number, title, ProblemCode.SHORT_ROW, message))
            return None
        message = f"The row has {len(cells)} cells; the header has {width}. The missing ones are empty."
        warnings.append(Problem(number, title, ProblemCode.SHORT_ROW, message))
        return [*cells, *[""] * (width - len(cells))]

    def _is_shifted(self, cells: Sequence[str]) -> bool:
        """Return whether a short row begins with a link although its links are to stand further right."""
        return min(self._columns.urls) > 0 and looks_like_url(cells[0])

    def _gathered(
        self, number: int, cells: list[str], problems: list[Problem], warnings: list[Problem]
    ) -> list[str] | None:
        width, delimiter = len(self._header), self._dialect.delimiter
        gathered = gathered_urls(cells, self._columns, width, delimiter)
        if gathered is not None:
            index = self._columns.urls[0]
            count = len(cells) - width + 1
            warnings.append(
                Problem(
                    number,
                    self._header[index],
                    ProblemCode.SPILLED_URLS,
                    f"The URLs stand without double quotes in {count} cells; they were put back into one.",
                    gathered[index],
                )
            )
            return gathered
        message = (
            f"The row has {len(cells)} cells; the header has {width}. A cell that holds the delimiter, such as a list"
            " of URLs, must stand in double quotes."
        )
        problems.append(Problem(number, None, ProblemCode.LONG_ROW, message, delimiter.join(cells[width:])))
        return None


def joined_by_quotes(cells: Sequence[str], delimiter: str) -> list[str]:
    """Return the cells with those put together that stand between quotes that CSV does not know.

    A quote that is never closed joins nothing. Time is linear: each cell is looked at once forwards, and those behind
    an open quote once more.

    Example:
        >>> joined_by_quotes(["1", "“Lamp", " oak”", "x"], ",")
        ['1', 'Lamp, oak', 'x']
    """
    made: list[str] = []
    waiting: list[str] = []
    closing = ""
    for cell in cells:
        bare = cell.strip()
        if not closing and bare[:1] in QUOTES:
            closing = QUOTES[bare[0]]
            # The quote itself closes nothing, so a cell of one quote stays open.
            bare = bare[1:]
        if not closing:
            made.append(cell)
            continue
        waiting.append(cell)
        if bare and bare[-1] in closing:
            made.append(delimiter.join(waiting).strip()[1:-1])
            waiting, closing = [], ""
    return [*made, *waiting]
