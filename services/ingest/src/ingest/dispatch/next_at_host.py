"""When an image ends, dispatches the next due image of its host, of whatever batch.

So a host that allows four at a time gets its fifth the moment one of the four is done, and nobody has to poll for it.
It is a hint like any other: should it get lost, the next claim finds the free slot.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, RowMapping

from chassis.db.engine import transact
from chassis.logs import get_logger
from ingest.dependencies import Dependencies
from ingest.dispatch.claim import undo_claim
from ingest.dispatch.host_slots import lock_slots, start_images
from ingest.dispatch.tasks import ClaimedImage, claimed_image, create_compression
from ingest.errors import ApiError
from ingest.state.hosts import note_nobody_waits
from ingest.state.known_sources import find_sources
from ingest.state.locks import lock_due_of_host

log = get_logger(__name__)

_MAX_AT_ONCE = 4  # usually one; more when hints got lost before
_UNDO_DELAY_S = 30.0
_LOWEST, _HIGHEST = UUID(int=0), UUID(int=2**128 - 1)


def dispatch_next(dependencies: Dependencies, host: str, last: UUID) -> None:
    """Dispatch what waits for a slot of `host`; `last` is the batch whose image just ended. Trouble is only logged."""
    try:
        images = transact(dependencies.engine, lambda connection: _take(connection, dependencies, host, last))
        for image in images:
            _create(dependencies, image)
    except ApiError as error:
        log.warning("host_slot.lost", host=host, reason=error.reason)


def _create(dependencies: Dependencies, image: ClaimedImage) -> None:
    try:
        create_compression(dependencies.tasks, dependencies.settings, image)
    except ApiError as error:
        log.warning("host_slot.lost", image=image.payload["image_id"], reason=error.reason)
        undo_claim(dependencies.engine, image, delay_s=_UNDO_DELAY_S)


def _take(connection: Connection, dependencies: Dependencies, host: str, last: UUID) -> list[ClaimedImage]:
    settings = dependencies.settings
    slots = lock_slots(connection, settings, [host])
    if not slots:
        return []
    limit = min(slots[host].free, _MAX_AT_ONCE)
    found: list[RowMapping] = []
    for above, up_to in ((last, _HIGHEST), (_LOWEST, last)):
        if len(found) < limit:
            found += lock_due_of_host(connection, host, above=above, up_to=up_to, limit=limit - len(found))
    if len(found) < limit:
        note_nobody_waits(connection, host)
    known = find_sources(connection, [row["id"] for row in found], days=settings.reuse_days)
    return [
        claimed_image(started, started.image["batch"], started.image["batch_options"], known.get(started.image["id"]))
        for started in start_images(connection, settings, slots, found)
    ]
