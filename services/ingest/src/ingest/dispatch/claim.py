"""Hands out work: a page of rows with their due images, leased, with attempt numbers that only rise.

Whose turn it is at which host is decided in `host_rooms`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, text

from chassis.db.engine import transact
from chassis.times import rfc3339
from ingest.dispatch.host_slots import Started, dispatch_images, free_hosts, lock_rooms
from ingest.errors import not_owner
from ingest.events.relay import announce_started
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, batch_from_row, lock_batch
from ingest.state.expiry import Settled, end_unreachable, settle_overdue

MAX_PAGE_BYTES = 64 * 1024
"""Most JSON of one page: an execution of Cloud Workflows has 512 KB for all its variables."""

_ENVELOPE_BYTES = 512
_CANDIDATES = 400  # more than fit into a page: the smallest image takes some 350 bytes


@dataclass(frozen=True, slots=True)
class ClaimedImage:
    """One image with the task that is to be made for it, and the moment at which that may run."""

    row_number: int
    task_id: str
    start_at: datetime
    payload: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the form of an image in workflows/contracts/claim_response.schema.json."""
        return {"task_id": self.task_id, "start_at": rfc3339(self.start_at), "payload": self.payload}


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
            rows.setdefault(image.row_number, []).append(image.to_json())
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
    SELECT due.* FROM unnest(CAST(:hosts AS text[]), CAST(:rooms AS integer[])) AS free (host, room)
    CROSS JOIN LATERAL (
        SELECT id, batch, host, row_number, slot, input_url, attempt, options, next_at FROM images
        WHERE host = free.host AND batch = :batch AND status = 'PENDING' AND same_as IS NULL
          AND next_at <= now() AND attempt < attempt_limit
        ORDER BY next_at, row_number, slot
        LIMIT free.room
        FOR UPDATE SKIP LOCKED
    ) AS due
    ORDER BY due.next_at, due.row_number, due.slot
    LIMIT :limit
    """
)
_LACKS_HOSTS = text(
    """
    SELECT NOT EXISTS (SELECT FROM batch_hosts WHERE batch = :batch)
        OR EXISTS (SELECT FROM batch_hosts LEFT JOIN hosts USING (host)
                   WHERE batch_hosts.batch = :batch AND hosts.next_start_at IS NULL)
    """
)
_ADD_BATCH_HOSTS = text(
    """
    INSERT INTO batch_hosts (batch, host, images)
    SELECT batch, host, count(*) FROM images WHERE batch = :batch GROUP BY batch, host
    ON CONFLICT DO NOTHING
    """
)
_ADD_HOSTS = text(
    "INSERT INTO hosts (host) SELECT host FROM batch_hosts WHERE batch = :batch ORDER BY host ON CONFLICT DO NOTHING"
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
        if touched is not None:
            before, batch = batch, batch_from_row(touched)
            announce_started(connection, before, batch)
        settled = settle_overdue(connection, batch)
        unreachable = end_unreachable(connection, settings, settled.batch)
        settled = replace(unreachable, sealed=settled.sealed or unreachable.sealed)
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
    _adopt(connection, batch.request_id)
    hosts = free_hosts(connection, settings, batch.request_id)
    rooms = lock_rooms(connection, settings, hosts)
    places = [min(found.room, limit) for found in rooms.values()]
    values = {"batch": batch.request_id, "hosts": list(rooms), "rooms": places, "limit": limit}
    found = connection.execute(_DUE, values).mappings().all() if rooms else []
    fitting = _fitting(batch, found, max_rows)
    started = dispatch_images(connection, settings, rooms, fitting)
    taken = tuple(claimed_image(image, batch.request_id, batch.options) for image in started)
    # Rows that others hold were skipped; they are on their way to a new state and will be due or done later.
    whole = len(taken) == len(found) and len(rooms) == len(hosts)
    exhausted = whole and (len(found) < limit or limit == room)
    return ClaimedPage(batch, taken, exhausted=exhausted, sealed=settled.sealed)


def _fitting(batch: Batch, found: Sequence[RowMapping], max_rows: int) -> list[RowMapping]:
    """Return the first images whose JSON and rows fit into a page."""
    fitting: list[RowMapping] = []
    rows: set[int] = set()
    size_bytes = _ENVELOPE_BYTES
    for row in found:
        image = claimed_image(Started(row, batch.created_at), batch.request_id, batch.options)
        image_bytes = len(json.dumps(image.to_json()))
        if image.row_number not in rows:
            image_bytes += len('{"row_number": , "images": []}, ') + len(str(image.row_number))
        full = size_bytes + image_bytes > MAX_PAGE_BYTES or len(rows | {image.row_number}) > max_rows
        if full and fitting:
            break
        fitting.append(row)
        rows.add(image.row_number)
        size_bytes += image_bytes
    return fitting


def _adopt(connection: Connection, request_id: UUID) -> None:
    """Give a batch the hosts it lacks: it came in through the release before, or while one of them was forgotten."""
    values = {"batch": request_id}
    if connection.execute(_LACKS_HOSTS, values).scalar_one():
        connection.execute(_ADD_BATCH_HOSTS, values)
        connection.execute(_ADD_HOSTS, values)


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


def claimed_image(started: Started, request_id: UUID, options: Mapping[str, Any]) -> ClaimedImage:
    """Return a leased image as its task will carry it; `options` are the batch's, its own come first."""
    image = started.image
    image_id, attempt = image["id"], image["attempt"] + 1
    payload = {
        "request_id": str(request_id),
        "image_id": str(image_id),
        "attempt": attempt,
        "url": image["input_url"],
        "options": dict(image["options"] or options),
    }
    return ClaimedImage(image["row_number"], task_id(request_id, image_id, attempt), started.start_at, payload)
