"""The sheet with its results as a stream of JSON lines, in one snapshot, without holding the sheet in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from chassis.auth.image_links import ImageLinks
from chassis.errors import SharedReason
from chassis.times import rfc3339
from ingest.errors import batch_not_found, unavailable
from ingest.sheets.model import Layout
from ingest.state.batch import BatchStatus

_FETCH_ROWS = 2000

_BATCH = text("SELECT * FROM batches WHERE request_id = :batch AND deleted_row IS NULL")
# Lateral, and kept so by OFFSET 0: each row looks its images up by their key. As a plain join it may take the square of
# the rows on a batch that the statistics do not know yet, for which one row is expected.
_ROWS = text(
    """
    SELECT rows.row_number, rows.serial, rows.product_name, rows.cells, rows.problems,
           images.slot, images.input_url, images.sheet_column, images.status,
           images.code, images.detail, images.output_url, images.bytes_in, images.bytes_out, images.width,
           images.height, images.format, images.sha256, images.attempt, images.duration_ms, images.same_as
    FROM rows LEFT JOIN LATERAL (
        SELECT * FROM images WHERE images.batch = :batch AND images.row_number = rows.row_number OFFSET 0
    ) AS images ON true
    WHERE rows.batch = :batch
    ORDER BY rows.row_number, images.slot
    """
)


class ExportStream:
    """The lines of one batch; holds a database connection until it is read to the end or closed."""

    def __init__(self, connection: Connection, batch: RowMapping, links: ImageLinks | None) -> None:
        self._connection = connection
        self._links = links
        self._batch = batch

    def __iter__(self) -> Iterator[bytes]:
        """Yield the batch, each row in order, the end."""
        rows = images = 0
        with self._connection as connection:
            yield _line(_header(self._batch))
            options = {"stream_results": True, "yield_per": _FETCH_ROWS}
            values = {"batch": self._batch["request_id"]}
            found = connection.execute(_ROWS, values, execution_options=options).mappings()
            for _number, group in groupby(found, key=lambda row: row["row_number"]):
                row = _row(list(group), self._links)
                rows += 1
                images += len(row["images"])
                yield _line(row)
            yield _line({"kind": "end", "rows": rows, "images": images})

    def close(self) -> None:
        """Give the connection back, also when nothing was read; may be called twice."""
        self._connection.close()


def export_batch(engine: Engine, request_id: UUID, *, links: ImageLinks | None = None) -> ExportStream:
    """Return the stream of a batch, in one snapshot; `links` are made of the addresses of private images.

    The batch is looked up before this returns, so an unknown id is a proper error and not a broken stream. A failure
    on the way breaks the stream off: a reader that sees no end line must not trust what it has.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 503 DATABASE_UNAVAILABLE or DATABASE_BUSY.
    """
    try:
        connection = engine.connect()
    except (PoolTimeoutError, DBAPIError) as error:
        raise unavailable(SharedReason.DATABASE_UNAVAILABLE, "The database cannot be reached.") from error
    try:
        connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        batch = connection.execute(_BATCH, {"batch": request_id}).mappings().first()
    except DBAPIError as error:
        connection.close()
        raise unavailable(SharedReason.DATABASE_UNAVAILABLE, "The database cannot be read.") from error
    if batch is None:
        connection.close()
        raise batch_not_found(request_id)
    return ExportStream(connection, batch, links)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _header(batch: RowMapping) -> dict[str, Any]:
    header = {
        "kind": "batch",
        "request_id": str(batch["request_id"]),
        "owner": batch["owner"],
        "generation": batch["generation"],
        "status": BatchStatus(batch["status"]).value,
        "cancelled": batch["cancel_requested"],
        "counts": {name: batch[name] for name in ("total", "pending", "succeeded", "failed")},
        "source_name": batch["source_name"],
        "header": batch["header"],
        "columns": batch["columns"],
        "created_at": rfc3339(batch["created_at"]),
    }
    # Batches of the release before have none: their files are written as that release wrote them.
    written = batch["dialect"].get("written")
    if written is not None:
        header["written"] = written
    if batch["dialect"].get("layout") == Layout.WORKBOOK.value:
        header["workbook"] = True
    return header


def _row(group: list[RowMapping], links: ImageLinks | None) -> dict[str, Any]:
    first = group[0]
    row = {
        "kind": "row",
        "row_number": first["row_number"],
        "serial": first["serial"],
        "product_name": first["product_name"],
        "cells": first["cells"],
        "images": [image_json(row, links) for row in group if row["slot"] is not None],
    }
    # Only a row that was skipped has any: a reader of the release before sees the lines it knows.
    return row | {"problems": first["problems"]} if first["problems"] else row


def image_json(row: RowMapping, links: ImageLinks | None) -> dict[str, Any]:
    """Return an image as the export and the status page show it: with a link, where its bucket is private."""
    return {
        "slot": row["slot"],
        "input_url": row["input_url"],
        "column": row["sheet_column"],
        "status": row["status"],
        "code": row["code"],
        "detail": row["detail"],
        "output_url": row["output_url"] if links is None else links.shown(row["output_url"]),
        "bytes_in": row["bytes_in"],
        "bytes_out": row["bytes_out"],
        "width": row["width"],
        "height": row["height"],
        "format": row["format"],
        "sha256": row["sha256"],
        "attempts": row["attempt"],
        "duration_ms": row["duration_ms"],
        "duplicate_of": None if row["same_as"] is None else str(row["same_as"]),
    }
