"""How a text is laid out: which character parts its cells, and whether its lines are quoted or a table of bars."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from ingest.sheets.decoding import SheetText
from ingest.sheets.header import ColumnChoice
from ingest.sheets.model import Dialect, Layout, ProblemList
from ingest.sheets.records import (
    DELIMITERS,
    MAX_FIELD_CHARS,
    Record,
    SheetFile,
    csv_records,
    is_table_rule,
    unpacked,
)
from ingest.sheets.table import locate

_CHECKED_RECORDS = 60
_CHECKED_CHARS = 512 * 1024
_CHECKED_WRITING_CHARS = 16 * 1024
_CHECKED_WRITING_LINES = 3
_LINE_ENDS = ("\r\n", "\n", "\r")
_SEPARATOR_LINE = re.compile(r'^"?sep=([,;\t|])"?\r?\n?$', re.IGNORECASE)


def find_layout(text: SheetText, chosen: ColumnChoice, delimiter: str | None = None) -> SheetFile:
    """Return how a text is to be taken apart; a delimiter that is given is not doubted.

    A delimiter that parts the header and some row into cells beats one that parts nothing. Then the better table wins
    (see `locate`), then the delimiter under which more rows have as many cells as the header, then the one with more
    columns, then the comma.
    """
    with text.open() as stream:
        # Only the first of these can be the line; a longer one is read in part and is none.
        stated = _SEPARATOR_LINE.match(stream.readline(16))
    if delimiter is not None:
        best = delimiter
    elif stated is not None:
        best = stated[1]
    else:
        scores = {delimiter: _score(text, delimiter, chosen) for delimiter in DELIMITERS}
        best = max(DELIMITERS, key=lambda delimiter: scores[delimiter])
    skip = stated is not None
    layout = _layout(text, best, chosen, skip=skip)
    line_end, quote_all = _way_of_writing(text, best)
    return SheetFile(text, Dialect(text.encoding, text.bom, best, layout, line_end, quote_all), skip)


def _way_of_writing(text: SheetText, delimiter: str) -> tuple[str, bool]:
    """Return what ends the first line, and whether each cell of the first lines stands in double quotes."""
    with text.open() as stream:
        begin = stream.read(_CHECKED_WRITING_CHARS)
    lines = begin.splitlines(keepends=True)[:_CHECKED_WRITING_LINES]
    ends = [line[len(line.rstrip("\r\n")) :] for line in lines]
    filled = [line.rstrip("\r\n") for line in lines if line.strip()]
    between = f'"{delimiter}"'
    quoted = [
        line.startswith('"') and line.endswith('"') and delimiter not in line.replace(between, "").replace('""', "")
        for line in filled
    ]
    return next((end for end in ends if end in _LINE_ENDS), "\r\n"), bool(quoted) and all(quoted) and between in begin


def first_records(records: Iterator[Record]) -> list[Record]:
    """Return the filled records in which a header is looked for: few, and not much text beyond the first."""
    found: list[Record] = []
    room = _CHECKED_CHARS
    filled = (record for record in records if any(cell.strip() for cell in record.cells))
    for record in islice(filled, _CHECKED_RECORDS):
        found.append(record)
        room -= sum(map(len, record.cells))
        if room < 0:
            break
    return found


def _score(text: SheetText, delimiter: str, chosen: ColumnChoice) -> tuple[bool, int, float, int]:
    with text.open() as stream:
        # Rows behind a quote that is never closed are not needed here; it is told when the sheet is read.
        records = first_records(csv_records(stream, delimiter, ProblemList()))
    table = locate(records, delimiter, chosen)
    if table is None:
        return (False, 0, 0.0, 0)
    width = len(table.header)
    rows = [unpacked(record.cells, delimiter) or record.cells for record in records[table.at + 1 :]]
    widths = Counter(len(cells) for cells in rows if any(cell.strip() for cell in cells))
    count = widths.total()
    parted = width > 1 and (not count or any(found > 1 for found in widths))
    fitting = widths[width] / count if count else 1.0
    # Where nothing is parted, links below say only that a row is one cell.
    return (parted, table.score if parted else table.named, fitting, width)


def _layout(text: SheetText, delimiter: str, chosen: ColumnChoice, *, skip: bool) -> Layout:
    with text.open() as stream:
        if skip:
            stream.readline()
        if delimiter == "|":
            pieces = iter(lambda: stream.readline(MAX_FIELD_CHARS), "")
            lines = [*islice((line.strip() for line in pieces if not line.isspace()), 2), ""]
            if is_table_rule(lines[1]) or (len(lines[0]) > 1 and lines[0][0] == lines[0][-1] == "|"):
                return Layout.PIPE_TABLE
            return Layout.CSV
        records = first_records(csv_records(stream, delimiter, ProblemList()))
    table = locate(records, delimiter, chosen)
    header = None if table is None else records[table.at].cells
    return Layout.QUOTED_LINES if header is not None and unpacked(header, delimiter) else Layout.CSV
