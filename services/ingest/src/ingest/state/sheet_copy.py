"""Writes the rows and images of a sheet with COPY, chunk by chunk, so that memory stays flat."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from chassis.limited import Limited
from ingest.options import ImageOptions
from ingest.sheets.links import MAX_URL_CHARS, host_of
from ingest.sheets.model import Problem, SheetRow
from ingest.state.hosts import add_hosts

MAX_ROW_PROBLEMS: Annotated[
    int, Limited("problems", "the first ones in the report", "Problems that are kept with a skipped row")
] = 20
"""Most problems that are kept with a row; a cell may hold a hundred bad URLs."""

_CHUNK_ROWS = 2000
_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"})
_NEEDS_ESCAPE = re.compile(r"[\\\t\n\r\x08\f\v]")
_json = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder for each row
_COPY_ROWS = "COPY rows (batch, row_number, serial, product_name, cells, problems) FROM STDIN"
_COPY_IMAGES = """
    COPY images (id, batch, row_number, slot, input_url, host, same_as, attempt_limit, options, sheet_column, status,
                 code, detail, finished_at)
    FROM STDIN
"""
_OPEN = ("PENDING", _NULL, _NULL, _NULL)
_COPY_HOSTS = "COPY batch_hosts (batch, host, images) FROM STDIN"


def copy_sheet(
    connection: Connection, request_id: UUID, rows: Iterable[SheetRow], *, options: ImageOptions, attempt_limit: int
) -> None:
    """Insert every row, image and host of a batch.

    nothing → PENDING for the images, FAILED for those whose link cannot be used, CLOSED for new hosts. The caller's
    transaction has inserted the batch; locks the new hosts in the order of their names.

    Of images with equal URL and equal options the first is the one that the others refer to. An image keeps options
    only if they differ from the batch's.
    """
    driver_connection: Any = connection.connection.driver_connection
    images = _Images(str(request_id), options, attempt_limit)
    with driver_connection.cursor() as cursor:
        remaining = iter(rows)
        while chunk := list(islice(remaining, _CHUNK_ROWS)):
            cursor.copy_expert(_COPY_ROWS, _text(_row_fields(str(request_id), row) for row in chunk))
            cursor.copy_expert(_COPY_IMAGES, _text(fields for row in chunk for fields in images.of(row)))
        hosts = images.images_of_host.items()
        cursor.copy_expert(_COPY_HOSTS, _text((str(request_id), _escaped(host), str(count)) for host, count in hosts))
    add_hosts(connection, request_id)


def _row_fields(batch: str, row: SheetRow) -> tuple[str, ...]:
    cells = _json(row.cells)
    kept = [problem.to_row_json() for problem in row.problems[:MAX_ROW_PROBLEMS]]
    problems = _escaped(_json(kept)) if kept else _NULL
    return (batch, str(row.number), _escaped(row.serial), _escaped(row.name), _escaped(cells), problems)


class _Images:
    """Makes the fields of images, remembers which was the first of equal ones and counts hosts."""

    def __init__(self, batch: str, options: ImageOptions, attempt_limit: int) -> None:
        self._batch = batch
        self._options = options.model_dump()
        self._attempt_limit = str(attempt_limit)
        self._first_of: dict[tuple[str, str], str] = {}
        self.images_of_host: Counter[str] = Counter()

    def of(self, row: SheetRow) -> Iterator[tuple[str, ...]]:
        """Yield the images of a row in the order of slots."""
        options = _NULL
        if row.options:
            own = self._options | dict(row.options)
            options = _NULL if own == self._options else _escaped(json.dumps(own, sort_keys=True))
        for slot, url in enumerate(row.urls):
            fault = row.faults.get(slot)
            if fault is not None:
                yield self._failed(row, slot, fault, options)
                continue
            image_id = str(uuid4())
            first = self._first_of.setdefault((url, options), image_id)
            same_as = _NULL if first == image_id else first
            host = host_of(url)
            self.images_of_host[host] += 1
            yield (
                image_id,
                self._batch,
                str(row.number),
                str(slot),
                _escaped(url),
                _escaped(host),
                same_as,
                self._attempt_limit,
                options,
                _column_of(row, slot),
                *_OPEN,
            )

    def _failed(self, row: SheetRow, slot: int, fault: Problem, options: str) -> tuple[str, ...]:
        """Return an image whose link cannot be used: it has ended before anybody was asked, and has no host."""
        link = (fault.value or "").replace("\x00", "\ufffd")[:MAX_URL_CHARS]
        return (
            str(uuid4()),
            self._batch,
            str(row.number),
            str(slot),
            _escaped(link) or "?",
            "",
            _NULL,
            self._attempt_limit,
            options,
            _column_of(row, slot),
            "FAILED",
            fault.code.value,
            _escaped(fault.message),
            "now",
        )


def _column_of(row: SheetRow, slot: int) -> str:
    return str(row.url_columns[slot]) if slot < len(row.url_columns) else _NULL


def _escaped(value: str) -> str:
    """Return the value in COPY's text format.

    Source: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
    """
    return value.translate(_ESCAPES) if _NEEDS_ESCAPE.search(value) else value


def _text(lines: Iterator[tuple[str, ...]]) -> io.StringIO:
    buffer = io.StringIO()
    for fields in lines:
        buffer.write("\t".join(fields))
        buffer.write("\n")
    buffer.seek(0)
    return buffer
