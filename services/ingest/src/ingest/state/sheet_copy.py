"""Writes the rows and images of a sheet with COPY, chunk by chunk, so that memory stays flat."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

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
_ID_MARK = 0x8 << 76 | 0x8 << 60  # version and variant of a UUID whose other bits are its maker's (RFC 9562, 5.8)
_ID_BITS = ~(0xF << 76 | 0xC << 60)
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
# Kept by OFFSET 0 to one look-up by key for each id, whatever the statistics say.
_KNOWN = text(
    """
    SELECT known.id FROM unnest(CAST(:ids AS uuid[])) AS wanted (id)
    CROSS JOIN LATERAL (SELECT images.id FROM images WHERE images.id = wanted.id OFFSET 0) AS known
    """
)


@dataclass(frozen=True, slots=True)
class Copied:
    """What was written of a sheet: images, those of them that failed or repeat an earlier one, and images by host."""

    images: int = 0
    failed: int = 0
    deduplicated: int = 0
    images_of_host: Counter[str] = field(default_factory=Counter)


def copy_sheet(
    connection: Connection, request_id: UUID, rows: Iterable[SheetRow], *, options: ImageOptions, attempt_limit: int
) -> None:
    """Insert every row, image and host of a batch.

    nothing → PENDING for the images, FAILED for those whose link cannot be used, CLOSED for new hosts. The caller's
    transaction has inserted the batch; locks the new hosts in the order of their names.
    """
    remaining = iter(rows)
    hosts: Counter[str] = Counter()
    first = True
    while chunk := list(islice(remaining, _CHUNK_ROWS)):
        copied = copy_rows(connection, request_id, chunk, options=options, attempt_limit=attempt_limit, is_first=first)
        hosts.update(copied.images_of_host)
        first = False
    add_hosts(connection, request_id, hosts)


def copy_rows(
    connection: Connection,
    request_id: UUID,
    rows: Sequence[SheetRow],
    *,
    options: ImageOptions,
    attempt_limit: int,
    is_first: bool,
) -> Copied:
    """Insert some rows of a batch with their images; what is inserted follows all that was inserted before.

    nothing → PENDING for the images, FAILED for those whose link cannot be used. The caller holds the batch.

    Of images with equal URL and equal options the first is the one that the others refer to; its id is made of these,
    so it is found among the rows before without an index or a memory of links. An image keeps options only if they
    differ from the batch's. `is_first` says that nothing was inserted before.
    """
    images = _Images(request_id, options, attempt_limit)
    wanted = [] if is_first else images.first_ids(rows)
    known = connection.execute(_KNOWN, {"ids": wanted}).scalars().all() if wanted else ()
    images.know(known)
    driver_connection: Any = connection.connection.driver_connection
    with driver_connection.cursor() as cursor:
        cursor.copy_expert(_COPY_ROWS, _text(_row_fields(str(request_id), row) for row in rows))
        cursor.copy_expert(_COPY_IMAGES, _text(fields for row in rows for fields in images.of(row)))
    return Copied(images.count, images.failed, images.deduplicated, images.images_of_host)


def _row_fields(batch: str, row: SheetRow) -> tuple[str, ...]:
    cells = _json(row.cells)
    kept = [problem.to_row_json() for problem in row.problems[:MAX_ROW_PROBLEMS]]
    problems = _escaped(_json(kept)) if kept else _NULL
    return (batch, str(row.number), _escaped(row.serial), _escaped(row.name), _escaped(cells), problems)


class _Images:
    """Makes the fields of images, tells which repeat an earlier one, and counts."""

    def __init__(self, batch: UUID, options: ImageOptions, attempt_limit: int) -> None:
        self._batch = str(batch)
        self._seed = batch.bytes
        self._options = options.model_dump()
        self._attempt_limit = str(attempt_limit)
        self._present: set[UUID] = set()
        self.count = self.failed = self.deduplicated = 0
        self.images_of_host: Counter[str] = Counter()

    def first_ids(self, rows: Iterable[SheetRow]) -> list[UUID]:
        """Return the ids that the images of some rows have if they are the first of their kind."""
        found = {
            self._first_id(url, options)
            for row in rows
            for options in (self._options_of(row),)
            for slot, url in enumerate(row.urls)
            if slot not in row.faults
        }
        return list(found)

    def know(self, ids: Iterable[UUID]) -> None:
        """Take ids as those of images that exist."""
        self._present.update(ids)

    def of(self, row: SheetRow) -> Iterator[tuple[str, ...]]:
        """Yield the images of a row in the order of slots."""
        options = self._options_of(row)
        for slot, url in enumerate(row.urls):
            self.count += 1
            fault = row.faults.get(slot)
            if fault is not None:
                self.failed += 1
                yield self._failed(row, slot, fault, options)
                continue
            first = self._first_id(url, options)
            repeats = first in self._present
            self._present.add(first)
            self.deduplicated += repeats
            host = host_of(url)
            self.images_of_host[host] += 1
            yield (
                str(uuid4() if repeats else first),
                self._batch,
                str(row.number),
                str(slot),
                _escaped(url),
                _escaped(host),
                str(first) if repeats else _NULL,
                self._attempt_limit,
                options,
                _column_of(row, slot),
                *_OPEN,
            )

    def _options_of(self, row: SheetRow) -> str:
        """Return the options of a row's images for COPY; nothing where they are those of the batch."""
        if not row.options:
            return _NULL
        own = self._options | dict(row.options)
        return _NULL if own == self._options else _escaped(json.dumps(own, sort_keys=True))

    def _first_id(self, url: str, options: str) -> UUID:
        """Return the id of the first image with a URL and options, a UUID of our own making (RFC 9562, version 8)."""
        seed = b"\0".join((self._seed, options.encode(), url.encode()))
        number = int.from_bytes(hashlib.sha256(seed).digest()[:16])
        return UUID(int=number & _ID_BITS | _ID_MARK)

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
