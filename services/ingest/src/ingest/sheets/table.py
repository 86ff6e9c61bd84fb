"""Where the table of a sheet is: which record is its header, and which records below it are no rows of it.

A header names columns over rows that fit it. Titles, remarks and lines of information may stand above it, a line of
explanations below it; the header may come again where two exports were pasted together; marks and counts may stand
behind the last row. Whatever is left out is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from chassis.limited import Limited
from ingest.sheets.evidence import LINKS, Look, look_of
from ingest.sheets.header import ERRORS_KEYS, OPTION_NAMES, OUTPUT_KEYS, ColumnChoice
from ingest.sheets.heading import MAX_HEADING_CHARS, heading_as_read, heading_key, heading_words
from ingest.sheets.model import Problem, ProblemCode, ProblemList
from ingest.sheets.records import Record, unpacked
from ingest.sheets.titles import TitleKind, keys_of, kind_of_title, speaks_of_pictures

MAX_HEADER_CANDIDATES: Annotated[
    int,
    Limited(
        "rows",
        "400 `SHEET_INVALID` with `MISSING_COLUMN`",
        "Filled rows from the first, among which the header is looked for",
    ),
] = 40
"""Filled records from the first that may be the header."""

_SUPPORTING_ROWS = 20
_MAX_EXPLANATIONS = 3
_MAX_HELD = 50
_KIND_POINTS = {
    TitleKind.OWN: 6,
    TitleKind.PICTURE: 5,
    TitleKind.LIKE_PICTURE: 3,
    TitleKind.SMALL: 2,
    TitleKind.LINK: 2,
}
_EXPLAINING = frozenset(
    {"required", "optional", "mandatory", "recommended", "example", "pflichtfeld", "obligatoire"}
) | {*("string", "text", "http", "https", "opcional", "obligatorio", "facoltativo", "verplicht", "wymagane", "число")}
_TAIL = re.compile(
    r"\W{0,10}(?:(?:the )?end\b|eof\b|end[ _]?of[ _]?(?:file|data|list|report|export)"
    r"|fin\b|ende\b|fine\b|конец|koniec|einde\b"
    r"|[(]?\d{1,9} (?:rows?|records?|lines?|products?|items?|zeilen|lignes|filas|righe|строк)"
    r"|(?:exported|generated|printed|created|erstellt|exportiert|généré|exporté)\b"
    r"|(?:completion time|row count|number of|source:))"
)
_TOTAL = re.compile(r"\W{0,5}(?:grand )?(?:total|totals|sum|gesamt|summe|итого|razem|totale|somme|suma)\b")


@dataclass(frozen=True, slots=True)
class Table:
    """The header of a table: the index of its record, its row number, its titles without and with their blanks.

    `score` compares tables by titles and the links below them, `named` by the titles alone.
    """

    at: int
    number: int
    header: tuple[str, ...]
    score: int
    named: int
    titles: tuple[str, ...] = ()


def locate(records: Sequence[Record], delimiter: str, chosen: ColumnChoice) -> Table | None:
    """Return the table of a sheet by its first records; None when all are blank."""
    filled = [(at, record.number, _cells(record, delimiter)) for at, record in enumerate(records)]
    filled = [(at, number, cells) for at, number, cells in filled if any(cell.strip() for cell in cells)]
    if not filled:
        return None
    looks = [[look_of(cell) for cell in cells] for _, _, cells in filled]
    best, best_score, best_place = filled[0], -1, 0
    for place, candidate in enumerate(filled[:MAX_HEADER_CANDIDATES]):
        score = _score(candidate[2], looks, place, chosen)
        # Of two lines of titles on top of each other the lower one stands over the rows.
        if score > best_score or (score == best_score and score > 0 and place == best_place + 1):
            best, best_score, best_place = candidate, score, place
    at, number, cells = best
    return Table(
        at,
        number,
        tuple(cell.strip().strip("\ufeff\u200b") for cell in cells),
        max(best_score, 0),
        _named(cells, chosen),
        tuple(cell.strip("\ufeff\u200b") for cell in cells),
    )


def explanations(rows: Sequence[Record], urls: Sequence[int]) -> frozenset[int]:
    """Return the numbers of the rows right below a header that explain it instead of holding a product."""
    found: set[int] = set()
    has_links = any(look_of(row.cells[index]) in LINKS for row in rows for index in urls if index < len(row.cells))
    for row in rows[:_MAX_EXPLANATIONS]:
        if not (_is_rule(row.cells) or (has_links and _explains(row.cells, urls))):
            break
        found.add(row.number)
    return frozenset(found)


class TableRows:
    """The rows of a table among the records of its sheet; each reading leaves out the same ones."""

    def __init__(self, table: Table, left_out: frozenset[int] = frozenset()) -> None:
        self._table = table
        self._left_out = left_out
        self._titles = tuple(heading_as_read(title) for title in table.header)
        self._first = next((index for index, title in enumerate(self._titles) if title), 0)
        self._first_title = table.header[self._first].casefold()

    def of(self, records: Iterator[Record], told: ProblemList) -> Iterator[Record]:
        """Yield the rows of the table; what is left out below the header goes to `told` as a warning."""
        held: list[Record] = []
        blank_before = False
        for record in records:
            if record.number <= self._table.number:
                continue
            blank = not record.links and not any(cell.strip() for cell in record.cells)
            if held and (blank or self._is_tail(record, blank_before)) and len(held) < _MAX_HELD:
                held.append(record)
            elif record.number in self._left_out:
                told.add(_left_out(record, "It explains the columns"))
            elif self._is_header(record):
                yield from _without_tails(held, told)
                held = []
                told.add(_left_out(record, "It is the header again"))
            elif not blank and self._is_tail(record, blank_before):
                held.append(record)
            else:
                yield from held
                held = []
                yield record
            blank_before = blank
        yield from _without_tails(held, told)

    def _is_header(self, record: Record) -> bool:
        cells, first = record.cells, self._first
        if len(cells) <= first or len(cells[first]) > MAX_HEADING_CHARS or record.links is not None:
            return False
        if cells[first].strip().casefold() != self._first_title:
            return False
        return len(cells) >= min(2, len(self._titles)) and all(
            heading_as_read(cell) == title for cell, title in zip(cells, self._titles, strict=False)
        )

    def _is_tail(self, record: Record, blank_before: bool) -> bool:
        cells = record.cells
        if not cells or len(cells[0]) > MAX_HEADING_CHARS or record.links is not None:
            return False
        text = cells[0].strip().lower()
        if text == "\x1a":
            return not any(cell.strip() for cell in cells[1:])
        if len(self._titles) < 2 or not text:
            return False
        if _TOTAL.match(text):
            return all(look_of(cell) in {Look.NUMBER, Look.EMPTY} for cell in cells[1:])
        marked = _TAIL.match(text) is not None and not any(cell.strip() for cell in cells[1:])
        alone = blank_before and len(cells) == 1 and " " in text
        return (marked or alone) and look_of(text) is Look.TEXT


def _without_tails(held: list[Record], told: ProblemList) -> Iterator[Record]:
    for record in held:
        if any(cell.strip() for cell in record.cells):
            told.add(_left_out(record, "It ends the sheet and holds no product"))
        else:
            yield record


def _left_out(record: Record, why: str) -> Problem:
    text = next((cell.strip() for cell in record.cells if cell.strip()), "")
    return Problem(record.number, None, ProblemCode.LINE_LEFT_OUT, f"{why}, so it is no row.", text)


def _cells(record: Record, delimiter: str) -> Sequence[str]:
    return unpacked(record.cells, delimiter) or record.cells


def _score(cells: Sequence[str], looks: Sequence[Sequence[Look]], place: int, chosen: ColumnChoice) -> int:
    """Return how much a record is a header: its titles, and links below those of pictures."""
    if LINKS.intersection(looks[place]):
        return 0
    below = looks[place + 1 : place + 1 + _SUPPORTING_ROWS]
    named = _named(cells, chosen)
    pictures = [index for index, cell in enumerate(cells) if _points_of(cell)]
    support = _support(cells, pictures, below)
    if not (named or support):
        return 0
    filled = sum(look is not Look.EMPTY for look in looks[place])
    narrow = 3 if filled * 2 < _usual_filled(below) else 0
    numbers = 2 * (looks[place].count(Look.NUMBER) * 2 > filled)
    return max(0, named + support - narrow - numbers)


def _named(cells: Sequence[str], chosen: ColumnChoice) -> int:
    """Return the points of the titles in a record."""
    keys = {heading_key(cell) for cell in cells}
    known = 3 * bool(keys & keys_of("name1")) or 2 * bool(keys & keys_of("name2")) or bool(keys & keys_of("name3"))
    known += bool(keys & keys_of("serial1")) + bool(keys & OPTION_NAMES.keys())
    return _chosen_points(keys, chosen) + max((_points_of(cell) for cell in cells), default=0) + known


def _points_of(title: str) -> int:
    return 0 if _is_ours(title) else _KIND_POINTS.get(kind_of_title(title.strip()), 0)


def _is_ours(title: str) -> bool:
    return heading_key(title) in OUTPUT_KEYS | ERRORS_KEYS


def _chosen_points(keys: set[str], chosen: ColumnChoice) -> int:
    return 10 * len(keys.intersection(heading_key(title) for named in chosen.values() for title in named))


def _support(cells: Sequence[str], pictures: Sequence[int], below: Sequence[Sequence[Look]]) -> int:
    if any(index < len(row) and row[index] in LINKS for row in below for index in pictures):
        return 4
    titled = [index for index, cell in enumerate(cells) if cell.strip()]
    if len(titled) > 1 and any(index < len(row) and row[index] is Look.PICTURE for row in below for index in titled):
        return 2
    return 0


def _usual_filled(below: Sequence[Sequence[Look]]) -> int:
    counts = sorted(sum(look is not Look.EMPTY for look in row) for row in below)
    return counts[len(counts) // 2] if counts else 0


def _is_rule(cells: Sequence[str]) -> bool:
    filled = [cell.strip() for cell in cells if cell.strip()]
    return len(filled) > 1 and all(len(cell) > 1 and not cell.strip("-=_+ ") for cell in filled)


def _explains(cells: Sequence[str], urls: Sequence[int]) -> bool:
    looks = [look_of(cell) for cell in cells]
    if any(look not in {Look.TEXT, Look.EMPTY} for look in looks):
        return False
    told = [cells[index] for index in urls if index < len(cells) and looks[index] is Look.TEXT]
    if not told:
        return False
    titles = keys_of("name1") | keys_of("name2") | keys_of("serial1")
    # A second line of titles, such as `Title, Main, Further` below `Product, Pictures, Pictures`.
    return any(heading_key(cell) in titles for cell in cells) or all(
        speaks_of_pictures(cell) or not _EXPLAINING.isdisjoint(heading_words(cell)) for cell in told
    )
