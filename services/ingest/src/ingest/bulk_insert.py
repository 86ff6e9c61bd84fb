"""Writes the rows and images of a sheet with COPY, chunk by chunk, so that memory stays flat."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from ingest.sheets.model import SheetRow

_CHUNK_ROWS = 5000
_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"})
_COPY_ROWS = "COPY rows (batch, row_number, serial, product_name, cells) FROM STDIN"
_COPY_IMAGES = "COPY images (id, batch, row_number, slot, input_url, same_as, attempt_limit) FROM STDIN"


def copy_sheet(connection: Connection, request_id: UUID, rows: Iterable[SheetRow], *, attempt_limit: int) -> None:
    """Insert every row and image of a batch; the first of equal URLs is the one that the others refer to."""
    driver_connection: Any = connection.connection.driver_connection
    batch = str(request_id)
    budget = str(attempt_limit)
    first_of: dict[str, str] = {}
    with driver_connection.cursor() as cursor:
        remaining = iter(rows)
        while chunk := list(islice(remaining, _CHUNK_ROWS)):
            cursor.copy_expert(_COPY_ROWS, _text(_row_fields(batch, row) for row in chunk))
            cursor.copy_expert(
                _COPY_IMAGES, _text(fields for row in chunk for fields in _image_fields(batch, row, first_of, budget))
            )


def _row_fields(batch: str, row: SheetRow) -> tuple[str, ...]:
    cells = json.dumps(row.cells, ensure_ascii=False)
    return (batch, str(row.number), _escaped(row.serial), _escaped(row.name), _escaped(cells))


def _image_fields(batch: str, row: SheetRow, first_of: dict[str, str], budget: str) -> Iterator[tuple[str, ...]]:
    for slot, url in enumerate(row.urls):
        image_id = str(uuid4())
        first = first_of.setdefault(url, image_id)
        same_as = _NULL if first == image_id else first
        yield (image_id, batch, str(row.number), str(slot), _escaped(url), same_as, budget)


def _escaped(value: str) -> str:
    """Return the value in COPY's text format.

    Source: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
    """
    return value.translate(_ESCAPES)


def _text(lines: Iterator[tuple[str, ...]]) -> io.StringIO:
    buffer = io.StringIO()
    for fields in lines:
        buffer.write("\t".join(fields))
        buffer.write("\n")
    buffer.seek(0)
    return buffer
