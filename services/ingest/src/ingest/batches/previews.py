"""Pictures for people: one image of a batch with its neighbours, and whether a picture may be asked for now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.auth.callers import Caller
from chassis.db.engine import transact
from chassis.limits import over_limit_facts, quota_exceeded
from ingest.batches.export import image_json
from ingest.errors import ApiError, Reason, Status, not_found
from ingest.settings import IngestSettings
from ingest.sheets.links import host_of
from ingest.state.batch import Batch, load_batch
from ingest.state.previews import count_previews, take_start

_PATIENCE_S = 2.0
_RETRY_AFTER_S = 10

_IMAGE = text(
    """
    SELECT images.*, rows.serial, rows.product_name
    FROM images JOIN rows ON rows.batch = images.batch AND rows.row_number = images.row_number
    WHERE images.id = :image
    """
)
# Along the index of the sheet's order; an image without an output has nothing to compare.
_NEIGHBOUR = """
    SELECT id FROM (
        SELECT id, status FROM images
        WHERE batch = :batch AND (row_number, slot) {after} (:row, :slot)
        ORDER BY row_number {order}, slot {order} LIMIT 1000
    ) AS seen WHERE status = 'SUCCEEDED' LIMIT 1
"""
_NEXT = text(_NEIGHBOUR.format(after=">", order="ASC"))
_PREVIOUS = text(_NEIGHBOUR.format(after="<", order="DESC"))


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image of a batch, and the ids of those with an output before and after it."""

    batch: Batch
    image: dict[str, Any]
    previous_id: UUID | None
    next_id: UUID | None


def find_image(engine: Engine, image_id: UUID, *, caller: Caller) -> FoundImage:
    """Return an image and its neighbours in the sheet.

    Raises:
        ApiError: 404 IMAGE_NOT_FOUND, also when the caller may not see its batch.
    """

    def work(connection: Connection) -> FoundImage:
        row = connection.execute(_IMAGE, {"image": image_id}).mappings().first()
        if row is None:
            raise _no_image(image_id)
        try:
            batch = load_batch(connection, row["batch"], seen_by=caller)
        except ApiError as error:
            raise _no_image(image_id) from error
        position = {"batch": row["batch"], "row": row["row_number"], "slot": row["slot"]}
        image = image_json(row, None) | {
            "id": str(row["id"]),
            "row": row["row_number"],
            "serial_number": row["serial"],
            "product_name": row["product_name"],
            "host": row["host"],
        }
        return FoundImage(
            batch,
            image,
            connection.execute(_PREVIOUS, position).scalar(),
            connection.execute(_NEXT, position).scalar(),
        )

    return transact(engine, work)


def allow_stored(engine: Engine, settings: IngestSettings, *, caller: Caller) -> None:
    """Count a look at a stored picture.

    Raises:
        ApiError: 429 QUOTA_EXCEEDED.
    """
    transact(engine, lambda connection: _count(connection, settings, caller, 1))


def allow_sources(engine: Engine, settings: IngestSettings, urls: list[str], *, caller: Caller) -> list[bool]:
    """Count looks at sources and take a start of each one's host; return which may be asked for now.

    Raises:
        ApiError: 429 QUOTA_EXCEEDED.
    """

    def work(connection: Connection) -> list[bool]:
        _count(connection, settings, caller, len(urls))
        # In the order of hosts, as every transaction that locks several of them.
        allowed = {}
        for url in sorted(urls, key=host_of):
            host = host_of(url)
            most = settings.host_limits_of(host).starts_per_s
            allowed[url] = take_start(connection, host, max_starts_per_s=most, patience_s=_PATIENCE_S)
        return [allowed[url] for url in urls]

    return transact(engine, work)


def host_is_busy(url: str) -> ApiError:
    """Return the 503 of a host that is not to be asked for a preview now."""
    return ApiError(
        Status.UNAVAILABLE,
        Reason.HOST_BUSY,
        f"{host_of(url)} has as many requests as it is given, or asked for a pause; try again in some seconds.",
        retry_after_s=_RETRY_AFTER_S,
    )


def _count(connection: Connection, settings: IngestSettings, caller: Caller, pictures: int) -> None:
    used = count_previews(connection, caller.owner, pictures)
    if used > settings.max_previews_per_minute:
        raise quota_exceeded(
            Reason.QUOTA_EXCEEDED,
            f"An owner may look at {settings.max_previews_per_minute} pictures in a minute.",
            over_limit_facts(
                "max_previews_per_minute", limit=settings.max_previews_per_minute, value=pictures, use=used - pictures
            ),
            retry_after_s=60,
        )


def _no_image(image_id: UUID) -> ApiError:
    return not_found(Reason.IMAGE_NOT_FOUND, f"There is no image {image_id}.", image_id=str(image_id))
