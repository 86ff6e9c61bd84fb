"""The phases of a sheet's life; each runs in a process of its own and may be called again where it broke off."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from bench.million.measuring import Spent, blocks_of
from bench.million.outcomes import UNCLAIMED, end_page, end_unclaimed, record_each, success_of
from bench.million.settings import EXECUTION, LiveExecutions, settings_of
from bench.million.sheets import PARTS, URI, FileSheets
from chassis.auth.callers import SYSTEM
from chassis.clock import SystemClock
from chassis.db.engine import new_engine, transact
from ingest.batches.import_chunks import ChunkedImport
from ingest.batches.import_sheet import import_sheet
from ingest.batches.status import list_batches, read_products
from ingest.dispatch.claim import claim_page
from ingest.dispatch.outcome import record_outcome
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.state.batch import BatchStatus, load_batch
from ingest.state.retention import MAX_DELETED_ROWS, delete_page
from ingest.supervision.finish import finish_batch
from ingest.supervision.ownership import start_batch

PAGE_ROWS = 100
MEASURED = 5_000
"""Images at the start, in the middle and at the end of a batch whose outcomes are recorded one by one."""

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


def claim_all(url: str, request_id: str, postmaster: int, thorough: bool) -> dict[str, Any]:
    """Claim images, a page at a time, and end them; return what claims, outcomes and reads cost in each part.

    At the start, in the middle and at the end claims and outcomes are the real ones, and every second page is recorded
    without keeping anything of its sources. Of the images between them one page in some fifty is claimed, and
    statements end all; if it is to be `thorough`, every page is claimed.
    """
    engine, batch = new_engine(url, pool_size=2), UUID(request_id)
    settings, forgetful = settings_of(url), settings_of(url, reuse_days=0)
    found: dict[str, Any] = {"pages": 0}
    kinds = ("claim", "outcome", "outcome_without_reuse")
    spent = {(part, kind): Spent(postmaster) for part in PARTS for kind in kinds}
    while (state := transact(engine, partial(load_batch, request_id=batch))).pending:
        part = part_of(state.total - state.pending, state.total)
        if part is not None and part not in found:
            found[part] = {"blocks": read_blocks(engine, settings, batch)}
            continue
        found["pages"] += 1
        claim = partial(claim_page, engine, settings, batch, execution=EXECUTION, max_rows=PAGE_ROWS)
        if part is None:
            images = claim().images
            transact(engine, partial(end_page, batch, images))
            if not thorough:
                left = next_part(state.total - state.pending, state.total) - len(images)
                # Less than that, because images with the same links end with these.
                transact(engine, partial(end_unclaimed, batch, min(UNCLAIMED, max(0, left * 8 // 10))))
            continue
        with spent[part, "claim"].counting():
            images = claim().images
        spent[part, "claim"].count += len(images)
        kind, used = ("outcome", settings) if found["pages"] % 2 else ("outcome_without_reuse", forgetful)
        with spent[part, kind].counting():
            record_each(engine, used, batch, images)
        spent[part, kind].count += len(images)
    for (part, kind), cost in spent.items():
        if part in found:
            found[part][kind] = cost.each_ms()
    return found


def part_of(ended: int, total: int) -> str | None:
    """Return which measured part a batch is in when so many of its images have ended."""
    size = min(MEASURED, total // 3)
    if ended < size:
        return "start"
    if abs(ended - total // 2) <= size // 2:
        return "middle"
    return "end" if ended >= total - size else None


def next_part(ended: int, total: int) -> int:
    """Return after how many images more the next measured part begins."""
    size = min(MEASURED, total // 3)
    middle = total // 2 - size // 2
    return (middle if ended < middle else total - size) - ended


def read_blocks(engine: Engine, settings: IngestSettings, batch: UUID) -> dict[str, int]:
    """Return how many blocks each use case reads or writes on a batch that is at work; a page of it ends by that."""
    found: dict[str, int] = {}
    page_size = 100

    def count(what: str, work: Any) -> Any:
        result, found[what] = blocks_of(engine, work)
        return result

    count("status", lambda: read_products(engine, settings, batch, caller=SYSTEM, page_size=page_size, token=""))
    count("list", lambda: list_batches(engine, caller=SYSTEM, status=None, page_size=page_size, token=""))
    page = count("claim", lambda: claim_page(engine, settings, batch, execution=EXECUTION, max_rows=PAGE_ROWS))
    found["claimed images"] = len(page.images)
    first = page.images[0]
    image_id, outcome = UUID(first.payload["image_id"]), success_of(batch, first)
    count("outcome", lambda: record_outcome(engine, settings, image_id, outcome))
    transact(engine, partial(end_page, batch, page.images[1:]))
    return found


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
