"""Rows that are not as wide as the header although it is plain what was meant: unquoted URLs, quoted lines.

Every repair is told as a warning. What could be meant in two ways is not repaired.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ingest.sheets.model import Columns
from ingest.sheets.records import unpacked

_URL_BEGIN = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*://|//(?=[^/\s])|www\.(?=\S))")


def looks_like_url(cell: str) -> bool:
    """Return whether a cell begins with a scheme, or as a link that lacks its own."""
    return _URL_BEGIN.match(cell) is not None


def gathered_urls(cells: Sequence[str], columns: Columns, width: int, delimiter: str) -> list[str] | None:
    """Return a row whose unquoted URLs ran over into further cells, put back into the URL column.

    The cells of the URL column and as many behind it as the row is too long must all be URLs, and the cell behind
    them must not be one: otherwise it is not known where the list ends. Returns None when that is so.

    Example:
        `1,Lamp,https://a,https://b` under three columns becomes `1`, `Lamp`, `https://a,https://b`.
    """
    if len(columns.urls) != 1:
        return None
    first = columns.urls[0]
    # Empty cells at the end are no part of the list.
    kept = list(cells)
    while len(kept) > width and not kept[-1].strip():
        kept.pop()
    end = first + 1 + len(kept) - width
    run = kept[first:end]
    if len(run) < 2 or not all(looks_like_url(cell) for cell in run):
        return None
    if end < len(kept) and looks_like_url(kept[end]):
        return None
    return [*kept[:first], delimiter.join(run), *kept[end:]]


def unpacked_line(cells: Sequence[str], columns: Columns, width: int, delimiter: str) -> list[str] | None:
    """Return the cells of a row that stands in double quotes as a whole, or None.

    A short row that holds nothing but a quoted list of URLs looks alike: then a URL would come to stand where the
    name is, and the row is left as it is.
    """
    inner = unpacked(cells, delimiter)
    if inner is None or len(inner) < width:
        return None
    others = [cell for index, cell in enumerate(inner[: min(columns.urls)]) if index not in columns.urls]
    return None if any(looks_like_url(cell) for cell in others) else inner
