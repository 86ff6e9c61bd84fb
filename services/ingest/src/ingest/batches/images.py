"""The images of a batch in the order of the sheet, filtered: a page looks at so many of them and no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, text

from chassis.auth.callers import Caller
from chassis.auth.image_links import ImageLinks
from chassis.db.engine import transact
from chassis.http.page_tokens import page_token, slot_of
from chassis.limited import Limited
from ingest.batches.export import image_json
from ingest.state.batch import ImageStatus, load_batch

MAX_SCANNED_IMAGES: Annotated[
    int, Limited("images", "`next_page_token`", "A page of filtered images ends early after looking at so many")
] = 5000
"""How many images a page looks at: one that finds few of them still costs as little as any other."""

_WITHOUT_OUTPUT = "AND status IN ('FAILED', 'CANCELLED')"
# The images that are looked at are taken in the order of an index and looked at until the page is full. Lateral, and
# kept so by OFFSET 0: the row of each is found by its key, also in a batch that the statistics do not know yet.
_PAGE = """
    SELECT seen.*, rows.serial, rows.product_name FROM (
        SELECT id, row_number, slot, input_url, sheet_column, host, status, code, detail, output_url, bytes_in,
               bytes_out, width, height, format, sha256, attempt, duration_ms, same_as
        FROM images
        WHERE batch = :batch {of_kind} AND (row_number, slot) > (:after_row, :after_slot)
        ORDER BY row_number, slot LIMIT :scanned
    ) AS seen
    CROSS JOIN LATERAL (
        SELECT serial, product_name FROM rows WHERE rows.batch = :batch AND rows.row_number = seen.row_number OFFSET 0
    ) AS rows
    WHERE (CAST(:status AS text) IS NULL OR seen.status = :status)
      AND (CAST(:code AS text) IS NULL OR seen.code = :code)
      AND (CAST(:host AS text) IS NULL OR seen.host = :host)
      AND (CAST(:words AS text) IS NULL OR strpos(lower(seen.input_url), lower(:words)) > 0
           OR strpos(lower(rows.product_name), lower(:words)) > 0 OR strpos(lower(rows.serial), lower(:words)) > 0)
    ORDER BY seen.row_number, seen.slot
    LIMIT :limit
"""
_LAST_SEEN = """
    SELECT row_number, slot FROM images
    WHERE batch = :batch {of_kind} AND (row_number, slot) > (:after_row, :after_slot)
    ORDER BY row_number, slot OFFSET :scanned - 1 LIMIT 1
"""
_STATEMENTS = {
    kind: (text(_PAGE.format(of_kind=kind)), text(_LAST_SEEN.format(of_kind=kind))) for kind in ("", _WITHOUT_OUTPUT)
}


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Which images: all that fit everything that is not None. `words` is looked for in link, name and serial."""

    status: str | None = None
    code: str | None = None
    host: str | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class ImagePage:
    """Images with their rows, and the token of the next page; a page may be empty and have a next one."""

    images: Sequence[dict[str, Any]]
    next_page_token: str


def list_images(
    engine: Engine,
    request_id: UUID,
    wanted: ImageFilter,
    *,
    caller: Caller,
    page_size: int,
    token: str,
    links: ImageLinks | None = None,
) -> ImagePage:
    """Return a page of the images of a batch, in the order of the sheet.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, also when the caller may not see it; 400 PAGE_TOKEN_INVALID.
    """
    scope = scope_of(request_id, wanted)
    after_row, after_slot = slot_of(scope, token)
    failures_only = wanted.status in {ImageStatus.FAILED.value, ImageStatus.CANCELLED.value}
    page_of, last_seen_of = _STATEMENTS[_WITHOUT_OUTPUT if failures_only else ""]
    position = {"batch": request_id, "after_row": after_row, "after_slot": after_slot, "scanned": MAX_SCANNED_IMAGES}
    values = {
        **position,
        "status": wanted.status,
        "code": wanted.code,
        "host": wanted.host,
        "words": wanted.words,
        "limit": page_size + 1,
    }

    def work(connection: Connection) -> ImagePage:
        load_batch(connection, request_id, seen_by=caller)
        found = connection.execute(page_of, values).mappings().all()
        if len(found) > page_size:
            last: RowMapping | None = found[page_size - 1]
        else:
            last = connection.execute(last_seen_of, position).mappings().first()
        following = "" if last is None else page_token(scope, (last["row_number"], last["slot"]))
        return ImagePage([_listed(row, links) for row in found[:page_size]], following)

    return transact(engine, work)


def scope_of(request_id: UUID, wanted: ImageFilter) -> str:
    """Return the scope of page tokens: the very filter; a digest of it, because the words may be long."""
    digest = hashlib.sha256(json.dumps(astuple(wanted)).encode()).hexdigest()[:16]
    return f"images/{request_id}/{digest}"


def _listed(row: RowMapping, links: ImageLinks | None) -> dict[str, Any]:
    return {
        **image_json(row, links),
        "id": str(row["id"]),
        "row": row["row_number"],
        "serial_number": row["serial"],
        "product_name": row["product_name"],
        "host": row["host"],
    }
