"""Escapes what a spreadsheet would take for a formula, also in the user's own cells, while a file streams by. Pure.

The stored files keep the user's cells as they came, so that they can be uploaded again. Whoever opens a sheet of
strangers asks for this (CWE-1236; OWASP: https://owasp.org/www-community/attacks/CSV_Injection): a cell that begins
with one of `FORMULA_STARTS` gets an apostrophe in front, which spreadsheets take for "this is text".
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from typing import Annotated

from chassis.limited import Limited

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What begins a formula; Excel takes the full-width forms for the narrow ones."""

MAX_CELL_CHARS: Annotated[
    int,
    Limited(
        "characters",
        "nothing; no report has one",
        "Longest cell that is escaped for spreadsheets",
        name="max_cell_characters",
        internal=True,
    ),
] = 4 * 1024 * 1024
"""Longest cell that is read: far above 100 URLs of 2,083 characters and their errors."""

_PIECE_CHARS = 64 * 1024

# The bound belongs to the process; its 131,072 are below what a report may hold. Nothing else here reads CSV.
csv.field_size_limit(MAX_CELL_CHARS)


def harmless(cell: str) -> str:
    """Return the cell, with an apostrophe in front if it begins like a formula."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def escaped_csv(pieces: Iterable[bytes], *, bom: str, codec: str = "utf-8", delimiter: str = ",") -> Iterator[bytes]:
    """Yield a CSV file again, in its codec and with its delimiter, each cell harmless, after `bom`."""
    out = io.StringIO()
    out.write(bom)
    encoder = codecs.getincrementalencoder(codec)(errors="replace")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    for cells in csv.reader(_lines(pieces, codec), delimiter=delimiter, strict=True):
        writer.writerow([harmless(cell) for cell in cells])
        if out.tell() >= _PIECE_CHARS:
            yield encoder.encode(out.getvalue())
            out.seek(0)
            out.truncate()
    yield encoder.encode(out.getvalue())


def _lines(pieces: Iterable[bytes], codec: str) -> Iterator[str]:
    """Yield the text up to and with each line end; the reader puts cells with line breaks together again."""
    decoder = codecs.getincrementaldecoder(codec)()
    rest = ""
    for piece in pieces:
        lines = io.StringIO(rest + decoder.decode(piece), newline="").readlines()
        # A line may go on with the next piece, and a carriage return with its line feed.
        rest = lines.pop() if lines and not lines[-1].endswith("\n") else ""
        yield from lines
    yield from io.StringIO(rest, newline="").readlines()
