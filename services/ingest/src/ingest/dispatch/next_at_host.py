"""An image that ended hands its place at its host on: to the next due image of that host, of whatever batch.

So a host that allows four at a time gets its fifth the moment one of the four is done, and nobody has to poll for it.
It is a hint like any other: should it get lost, the next claim finds the host's room.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from chassis.db.engine import transact
from chassis.logs import get_logger
from ingest.clients.task_queue import create_compression
from ingest.dependencies import Dependencies
from ingest.dispatch.claim import ClaimedImage, claimed_image, undo_claim
from ingest.dispatch.host_slots import dispatch_images, lock_rooms
from ingest.errors import ApiError

log = get_logger(__name__)

_MAX_AT_ONCE = 4  # usually one; more when places got lost before
_UNDO_DELAY_S = 30.0

# Round robin: after the batch that was served last comes the next one by id, then again the first.
_NEXT = text(
    """
    SELECT images.id, images.batch, images.host, images.row_number, images.input_url, images.attempt, images.options,
           batches.options AS batch_options
    FROM images JOIN batches ON batches.request_id = images.batch
    WHERE images.host = :host AND images.batch > :above AND images.batch <= :up_to
      AND images.status = 'PENDING' AND images.same_as IS NULL
      AND images.next_at <= now() AND images.attempt < images.attempt_limit
      AND batches.status = 'PROCESSING' AND NOT batches.cancel_requested AND batches.deadline_at > now()
    ORDER BY images.batch, images.next_at, images.row_number, images.slot
    LIMIT :limit
    FOR UPDATE OF images SKIP LOCKED
    """
)
_LOWEST, _HIGHEST = UUID(int=0), UUID(int=2**128 - 1)
_NOBODY_WAITS = text("UPDATE hosts SET waiting = false WHERE host = :host AND waiting")


def hand_on(dependencies: Dependencies, host: str, last: UUID) -> None:
    """Dispatch what waits for a place at `host`; `last` is the batch whose image just ended. Trouble is only logged."""
    try:
        images = transact(dependencies.engine, lambda connection: _take(connection, dependencies, host, last))
        for image in images:
            _create(dependencies, image)
    except ApiError as error:
        log.warning("place.lost", host=host, reason=error.reason)


def _create(dependencies: Dependencies, image: ClaimedImage) -> None:
    try:
        create_compression(dependencies.tasks, dependencies.settings, image)
    except ApiError as error:
        log.warning("place.lost", image=image.payload["image_id"], reason=error.reason)
        undo_claim(dependencies.engine, image, delay_s=_UNDO_DELAY_S)


def _take(connection: Connection, dependencies: Dependencies, host: str, last: UUID) -> list[ClaimedImage]:
    settings = dependencies.settings
    rooms = lock_rooms(connection, settings, [host])
    if not rooms:
        return []
    limit = min(rooms[host].room, _MAX_AT_ONCE)
    found: list[RowMapping] = []
    for above, up_to in ((last, _HIGHEST), (_LOWEST, last)):
        if len(found) < limit:
            values = {"host": host, "above": above, "up_to": up_to, "limit": limit - len(found)}
            found += connection.execute(_NEXT, values).mappings()
    if len(found) < limit:
        connection.execute(_NOBODY_WAITS, {"host": host})
    return [
        claimed_image(started, started.image["batch"], started.image["batch_options"])
        for started in dispatch_images(connection, settings, rooms, found)
    ]
