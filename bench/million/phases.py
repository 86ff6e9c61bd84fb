"""The phases of a sheet's life; each runs in a process of its own and may be called again where it broke off."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from bench.million.measuring import blocks_of
from bench.million.settings import EXECUTION, LiveExecutions, settings_of
from bench.million.sheets import URI, FileSheets
from chassis.clock import SystemClock
from chassis.db.engine import new_engine, transact
from ingest.batches.import_chunks import ChunkedImport
from ingest.batches.import_sheet import import_sheet
from ingest.options import ImageOptions
from ingest.state.batch import BatchStatus, load_batch
from ingest.state.retention import MAX_DELETED_ROWS, delete_page
from ingest.supervision.finish import finish_batch
from ingest.supervision.ownership import start_batch

DELETED_PAGES = 40

_AGE = text(
    """
    WITH told AS (DELETE FROM outbox WHERE batch = :batch)
    UPDATE batches SET finished_at = now() - interval '40 days' WHERE request_id = :batch
    """
)


def import_all(url: str, path: str) -> str:
    """Import the sheet in chunks, and let an execution own it; return the id of the batch."""
    engine, settings, sheets = new_engine(url, pool_size=2), settings_of(url), FileSheets(Path(path))
    batch = import_sheet(
        engine,
        settings,
        sheets,
        execution=EXECUTION,
        csv_uri=URI,
        webhook_url=None,
        options=ImageOptions(),
        owner=None,
    )
    while batch.status is BatchStatus.IMPORTING:
        batch = ChunkedImport(engine, settings, sheets, SystemClock(), budget_s=60).go_on(
            batch.request_id, execution=None
        )
    start_batch(engine, LiveExecutions(), batch.request_id, execution=EXECUTION, callback_url="http://callback.test")
    return str(batch.request_id)


def finish(url: str, request_id: str) -> dict[str, Any]:
    """End the batch; return the blocks of that, and how many bytes an image has in each table, with its indexes."""
    engine, settings, batch = new_engine(url, pool_size=2), settings_of(url), UUID(request_id)
    ended, blocks = blocks_of(
        engine, lambda: finish_batch(engine, settings, batch, execution=EXECUTION, report_uri="gs://x/y")
    )
    final = transact(engine, partial(load_batch, request_id=batch))
    if (final.status, final.succeeded) != (BatchStatus.COMPLETED, final.total):
        raise AssertionError(final)
    return {"finish": blocks, "images": ended.total, "bytes_each": transact(engine, _bytes_each)}


def delete(url: str, request_id: str) -> dict[str, Any]:
    """Let the retention of the batch be over, and delete its first pages; return how many, and the blocks of one."""
    engine, batch = new_engine(url, pool_size=2), UUID(request_id)
    transact(engine, lambda connection: connection.execute(_AGE, {"batch": batch}))
    remove = partial(transact, engine, partial(delete_page, days=30))
    _first, blocks = blocks_of(engine, remove)
    pages = 1
    while pages < DELETED_PAGES and remove() is not None:
        pages += 1
    return {"pages": pages, "rows": MAX_DELETED_ROWS, "blocks": blocks}


def _bytes_each(connection: Connection) -> dict[str, int]:
    # Counted, because statistics may not know the table yet.
    each = "SELECT pg_total_relation_size('{table}') / greatest(1, (SELECT count(*) FROM {table}))"
    return {
        table: int(connection.execute(text(each.format(table=table))).scalar_one())
        for table in ("images", "rows", "known_sources")
    }
