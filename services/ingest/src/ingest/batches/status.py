"""The read side of the public interface: a batch with a page of its products, and the list of batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, text

from chassis.auth.callers import Caller
from chassis.auth.image_links import ImageLinks
from chassis.db.engine import transact
from chassis.http.page_tokens import Position, page_token, position_of, row_number_of
from chassis.limited import Limited
from ingest.batches.export import image_json
from ingest.batches.hosts import list_hosts
from ingest.batches.rate import rate_of
from ingest.batches.savings import savings
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, BatchStatus, ImageStatus, batch_from_row, load_batch
from ingest.state.imports import Import, load_import

# Pages go by key, never by offset: the 100th page costs as much as the first. Lateral, and kept so by OFFSET 0: each
# row of the page looks its images up by their key, also in a batch that the statistics do not know yet.
_ROWS = text(
    """
    SELECT page.row_number, page.serial, page.product_name, page.problems,
           images.id, images.slot, images.input_url, images.sheet_column, images.status,
           images.code, images.detail, images.output_url, images.bytes_in, images.bytes_out, images.width,
           images.height, images.format, images.sha256, images.attempt, images.duration_ms, images.same_as
    FROM (SELECT row_number, serial, product_name, problems FROM rows
          WHERE batch = :batch AND row_number > :after ORDER BY row_number LIMIT :limit) AS page
    LEFT JOIN LATERAL (
        SELECT * FROM images WHERE images.batch = :batch AND images.row_number = page.row_number OFFSET 0
    ) AS images ON true
    ORDER BY page.row_number, images.slot
    LIMIT :image_limit
    """
)
_NOW = text("SELECT now()")
MAX_PAGE_IMAGES: Annotated[int, Limited("images", "`next_page_token`", "A page of products ends early above this")] = (
    5000
)
"""A page ends early, at a row's end, when its rows hold more images than this: about 3 MB of JSON."""

_BATCHES = text(
    """
    SELECT * FROM batches
    WHERE (:sees_all OR coalesce(owner, '') = :owner) AND deleted_row IS NULL
      AND (CAST(:statuses AS text[]) IS NULL OR status = ANY(CAST(:statuses AS text[])))
      AND (CAST(:before AS timestamptz) IS NULL OR (created_at, request_id) < (:before, CAST(:before_id AS uuid)))
    ORDER BY created_at DESC, request_id DESC
    LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True)
class ProductPage:
    """A batch with the hosts of its images, a page of its products, and the token of the next page."""

    batch: Batch
    hosts: dict[str, Any]
    sheet_import: Import | None
    rate: dict[str, Any]
    products: Sequence[dict[str, Any]]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """A batch with its rate, and how far its import is."""

    batch: Batch
    rate: dict[str, Any]
    sheet_import: Import | None


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A page of batches, newest first, and the token of the next page."""

    batches: Sequence[Batch]
    next_page_token: str


def read_products(
    engine: Engine,
    settings: IngestSettings,
    request_id: UUID,
    *,
    caller: Caller,
    page_size: int,
    token: str,
    links: ImageLinks | None = None,
) -> ProductPage:
    """Return a batch, its hosts and a page of its rows with their images.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, also when the caller may not see it; 400 PAGE_TOKEN_INVALID.
    """
    after = row_number_of(str(request_id), token)

    def work(connection: Connection) -> ProductPage:
        batch = load_batch(connection, request_id, seen_by=caller)
        values = {
            "batch": request_id,
            "after": after,
            "limit": page_size + 1,
            "image_limit": MAX_PAGE_IMAGES + 1,
        }
        found = connection.execute(_ROWS, values).mappings().all()
        groups = [list(group) for _, group in groupby(found, key=_row_number)]
        # A page that was cut may have been cut inside its last row: that row begins the next page.
        cut = len(found) > MAX_PAGE_IMAGES and len(groups) > 1
        more = cut or len(groups) > page_size
        groups = groups[: min(page_size, len(groups) - 1 if cut else page_size)]
        following = page_token(str(request_id), _row_number(groups[-1][0])) if more else ""
        hosts = list_hosts(connection, settings, request_id)
        rate = rate_of(batch, connection.execute(_NOW).scalar_one())
        found_import = load_import(connection, request_id)
        products = [_product(group, links) for group in groups]
        return ProductPage(batch, hosts, found_import, rate, products, following)

    return transact(engine, work)


def read_summary(engine: Engine, request_id: UUID, *, caller: Caller) -> BatchSummary:
    """Return a batch with its rate; the same work for a batch of any size.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, also when the caller may not see it.
    """

    def work(connection: Connection) -> BatchSummary:
        batch = load_batch(connection, request_id, seen_by=caller)
        rate = rate_of(batch, connection.execute(_NOW).scalar_one())
        return BatchSummary(batch, rate, load_import(connection, request_id))

    return transact(engine, work)


def list_batches(engine: Engine, *, caller: Caller, status: str | None, page_size: int, token: str) -> BatchPage:
    """Return the batches that the caller may see, newest first.

    Args:
        engine: the database.
        caller: whose batches.
        status: a public status; PROCESSING includes SEALING.
        page_size: most batches of the page.
        token: the page_token of the page before, with the same `status`.

    Raises:
        ApiError: 400 PAGE_TOKEN_INVALID.
    """
    scope = f"requests/{status or ''}"
    before = position_of(scope, token)
    statuses = [found.value for found in BatchStatus if found.public == status] if status else None
    values = {
        "sees_all": caller.sees_all,
        "owner": caller.owner or "",
        "statuses": statuses,
        "before": None if before is None else before.time,
        "before_id": None if before is None else str(before.id),
        "limit": page_size + 1,
    }

    def work(connection: Connection) -> BatchPage:
        found = [batch_from_row(row) for row in connection.execute(_BATCHES, values).mappings()]
        more, page = len(found) > page_size, found[:page_size]
        last = Position(page[-1].created_at, page[-1].request_id) if more else None
        return BatchPage(page, "" if last is None else page_token(scope, last))

    return transact(engine, work)


def product_status(statuses: Iterable[str]) -> str:
    """Return a product's status, derived from those of its images; a product without images is COMPLETED."""
    present = {ImageStatus(status) for status in statuses}
    if present <= {ImageStatus.SUCCEEDED}:
        return "COMPLETED"
    if present == {ImageStatus.PENDING}:
        return "PENDING"
    if present & {ImageStatus.PENDING, ImageStatus.DISPATCHED}:
        return "PROCESSING"
    if ImageStatus.SUCCEEDED in present:
        return "COMPLETED_WITH_ERRORS"
    return "CANCELLED" if present == {ImageStatus.CANCELLED} else "FAILED"


def _row_number(row: RowMapping) -> int:
    return int(row["row_number"])


def _product(group: list[RowMapping], links: ImageLinks | None) -> dict[str, Any]:
    first = group[0]
    images = [image_json(row, links) | {"id": str(row["id"])} for row in group if row["id"] is not None]
    return {
        # The row's number in the spreadsheet: unique in the batch, which serials are not.
        "id": str(first["row_number"]),
        "serial_number": first["serial"],
        "product_name": first["product_name"],
        # Slots are kept: an image without output leaves nothing between its commas.
        "input_images": ",".join(image["input_url"] for image in images),
        "output_images": ",".join(image["output_url"] or "" for image in images),
        "status": "FAILED" if first["problems"] else product_status(image["status"] for image in images),
        "problems": first["problems"] or [],
        "savings": _savings_of(images),
        "images": images,
    }


def _savings_of(images: Iterable[dict[str, Any]]) -> dict[str, Any]:
    done = [image for image in images if image["status"] == ImageStatus.SUCCEEDED.value]
    sizes = {side: sum(image[side] or 0 for image in done) for side in ("bytes_in", "bytes_out")}
    return savings(len(done), **sizes)
