"""Hands out work: a page of rows with their due images, leased, with attempt numbers that only rise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, text

from chassis.database import transact
from ingest.batches import Batch, batch_from_row, lock_batch
from ingest.errors import not_owner
from ingest.settings import IngestSettings
from ingest.settling import Settled, settle_overdue

MAX_PAGE_BYTES = 64 * 1024
"""Most JSON of one page: an execution of Cloud Workflows has 512 KB for all its variables."""

_ENVELOPE_BYTES = 512
_CANDIDATES = 400  # more than fit into a page: the smallest image takes some 350 bytes


@dataclass(frozen=True, slots=True)
class ClaimedImage:
    """One image with the task that is to be made for it."""

    row_number: int
    task_id: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimedPage:
    """What a claim brought; `sealed` when settling ended the batch's last image on the way."""

    batch: Batch
    images: Sequence[ClaimedImage]
    exhausted: bool
    sealed: bool

    def to_json(self) -> dict[str, Any]:
        """Return the form of workflows/contracts/claim_response.schema.json."""
        rows: dict[int, list[dict[str, Any]]] = {}
        for image in self.images:
            rows.setdefault(image.row_number, []).append({"task_id": image.task_id, "payload": image.payload})
        return {
            "request_id": str(self.batch.request_id),
            "rows": [{"row_number": number, "images": images} for number, images in rows.items()],
            "image_count": len(self.images),
            "exhausted": self.exhausted,
        }


# The sweeper's claims are no sign of life of the execution that owns the batch.
_TOUCH = text(
    """
    UPDATE batches SET
        heartbeat_at = CASE WHEN :owned THEN now() ELSE heartbeat_at END,
        started_at = coalesce(started_at, now()),
        status = CASE WHEN status = 'PENDING' THEN 'PROCESSING' ELSE status END
    WHERE request_id = :batch AND finished_at IS NULL
    RETURNING *
    """
)
_IN_FLIGHT = text(
    """
    SELECT count(*) FROM (
        SELECT 1 FROM images WHERE batch = :batch AND status = 'DISPATCHED' LIMIT :window
    ) AS leased
    """
)
_DUE = text(
    """
    SELECT id, row_number, slot, input_url, attempt, options FROM images
    WHERE batch = :batch AND status = 'PENDING' AND same_as IS NULL AND next_at <= now() AND attempt < attempt_limit
    ORDER BY next_at, row_number, slot
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
    """
)
_LEASE = text(
    """
    UPDATE images SET status = 'DISPATCHED', attempt = attempt + 1,
                      lease_until = now() + make_interval(secs => :lease_s)
    WHERE id = ANY(:ids)
    """
)
_UNDO = text(
    """
    UPDATE images SET status = 'PENDING', lease_until = NULL, next_at = now() + make_interval(secs => :delay_s),
                      attempt_limit = attempt_limit + 1
    WHERE id = :id AND status = 'DISPATCHED' AND attempt = :attempt
    """
)


def claim_page(
    engine: Engine, settings: IngestSettings, request_id: UUID, *, execution: str | None, max_rows: int
) -> ClaimedPage:
    """Settle what is overdue, then lease a page of due images.

    Args:
        engine: the database.
        settings: lease, window and budgets.
        request_id: the batch.
        execution: the caller, who must own the batch; None is the sweeper, which needs no ownership because leases
            and attempt numbers fence every claim by themselves.
        max_rows: most rows of the page; it also ends at 64 KiB of JSON.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER.
    """

    def work(connection: Connection) -> ClaimedPage:
        batch = lock_batch(connection, request_id)
        if execution is not None and batch.execution != execution:
            raise not_owner(request_id, execution)
        touched = connection.execute(_TOUCH, {"batch": request_id, "owned": execution is not None}).mappings().first()
        batch = batch if touched is None else batch_from_row(touched)
        settled = settle_overdue(connection, batch)
        return _page(connection, settings, settled, max_rows)

    return transact(engine, work)


def _page(connection: Connection, settings: IngestSettings, settled: Settled, max_rows: int) -> ClaimedPage:
    batch = settled.batch
    if batch.status.is_final or batch.pending == 0 or batch.cancel_requested:
        return ClaimedPage(batch, (), exhausted=True, sealed=settled.sealed)
    room = room_for_more(connection, settings, batch.request_id)
    limit = min(_CANDIDATES, room)
    if limit == 0:
        return ClaimedPage(batch, (), exhausted=True, sealed=settled.sealed)
    found = connection.execute(_DUE, {"batch": batch.request_id, "limit": limit}).mappings().all()
    taken: list[ClaimedImage] = []
    ids: list[UUID] = []
    rows: set[int] = set()
    size_bytes = _ENVELOPE_BYTES
    for row in found:
        image = _claimed(batch, row)
        image_bytes = len(json.dumps({"task_id": image.task_id, "payload": image.payload}))
        if image.row_number not in rows:
            image_bytes += len('{"row_number": , "images": []}, ') + len(str(image.row_number))
        full = size_bytes + image_bytes > MAX_PAGE_BYTES or len(rows | {image.row_number}) > max_rows
        if full and taken:
            break
        taken.append(image)
        ids.append(row["id"])
        rows.add(image.row_number)
        size_bytes += image_bytes
    if ids:
        connection.execute(_LEASE, {"ids": ids, "lease_s": settings.lease_s})
    # Rows that others hold were skipped; they are on their way to a new state and will be due or done later.
    exhausted = len(taken) == len(found) and (len(found) < limit or limit == room)
    return ClaimedPage(batch, tuple(taken), exhausted=exhausted, sealed=settled.sealed)


def room_for_more(connection: Connection, settings: IngestSettings, request_id: UUID) -> int:
    """Return how many more images of a batch may be dispatched now.

    Below a quarter of the window it is 0, so that a busy batch is refilled in few large pages.
    """
    window = settings.max_in_flight
    in_flight = int(connection.execute(_IN_FLIGHT, {"batch": request_id, "window": window}).scalar_one())
    room = window - in_flight
    return room if in_flight == 0 or room * 4 >= window else 0


def undo_claim(engine: Engine, image: ClaimedImage, *, delay_s: float) -> None:
    """Give an image back whose task could not be created; its number stays used, its budget does not shrink."""
    values = {"id": UUID(image.payload["image_id"]), "attempt": image.payload["attempt"], "delay_s": delay_s}
    transact(engine, lambda connection: connection.execute(_UNDO, values))


def task_id(request_id: UUID, image_id: UUID, attempt: int) -> str:
    """Return the task's name: the same for a repeat, another for each attempt, well spread as Cloud Tasks advises."""
    return hashlib.sha256(f"{request_id}/{image_id}/{attempt}".encode()).hexdigest()


def _claimed(batch: Batch, row: RowMapping) -> ClaimedImage:
    image_id, attempt = row["id"], row["attempt"] + 1
    payload = {
        "request_id": str(batch.request_id),
        "image_id": str(image_id),
        "attempt": attempt,
        "url": row["input_url"],
        "options": dict(row["options"] or batch.options),
    }
    return ClaimedImage(row["row_number"], task_id(batch.request_id, image_id, attempt), payload)
