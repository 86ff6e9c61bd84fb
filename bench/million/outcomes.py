"""What stands for the compressor: outcomes by the real code, one by one, or by a statement for a whole page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from ingest.dispatch.outcome import record_outcome
from ingest.dispatch.tasks import ClaimedImage
from ingest.settings import IngestSettings
from ingest.state.batch_status import count_ended
from ingest.state.images import Outcome

_END_PAGE = text(
    """
    WITH ended AS (
        UPDATE images SET status = 'SUCCEEDED', code = 'OK', output_url = 'https://s.example/' || id || '.jpg',
                          detail = '', bytes_in = 500000, bytes_out = 200000,
                          width = 1500, height = 1500, format = 'jpeg',
                          sha256 = repeat('ab', 32), duration_ms = 60, lease_until = NULL, finished_at = now()
        WHERE id = ANY(:ids) RETURNING id)
    , copied AS (
        UPDATE images SET status = 'SUCCEEDED', code = 'OK', output_url = 'https://s.example/' || ended.id || '.jpg',
                          finished_at = now()
        FROM ended WHERE images.same_as = ended.id RETURNING images.id)
    SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM copied)
    """
)

UNCLAIMED = 5000
"""Most rows whose images are ended at once, without a claim."""

_END_UNCLAIMED = text(
    """
    WITH ended AS (
        UPDATE images SET status = 'SUCCEEDED', code = 'OK', output_url = 'https://s.example/' || id || '.jpg',
                          detail = '', bytes_in = 500000, bytes_out = 200000, width = 1500, height = 1500,
                          format = 'jpeg', sha256 = repeat('ab', 32), duration_ms = 60, attempt = 1,
                          finished_at = now()
        WHERE batch = :batch AND status = 'PENDING' AND same_as IS NULL
          AND row_number >= (SELECT min(row_number) FROM images
                             WHERE batch = :batch AND status = 'PENDING' AND same_as IS NULL)
          AND row_number < :rows + (SELECT min(row_number) FROM images
                                    WHERE batch = :batch AND status = 'PENDING' AND same_as IS NULL)
        RETURNING id)
    , copied AS (
        UPDATE images SET status = 'SUCCEEDED', code = 'OK', output_url = 'https://s.example/' || ended.id || '.jpg',
                          finished_at = now()
        FROM ended WHERE images.same_as = ended.id RETURNING images.id)
    SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM copied)
    """
)


def record_each(engine: Engine, settings: IngestSettings, batch: UUID, images: Sequence[ClaimedImage]) -> None:
    """Record the success of each image as a compressor reports it."""
    for image in images:
        record_outcome(engine, settings, UUID(image.payload["image_id"]), success_of(batch, image))


def success_of(batch: UUID, image: ClaimedImage) -> Outcome:
    """Return what a compressor says of a photo: made, of a source that has an ETag."""
    image_id = image.payload["image_id"]
    return Outcome(
        request_id=batch,
        attempt=image.payload["attempt"],
        succeeded=True,
        transient=False,
        code="OK",
        detail="",
        output_url=f"https://s.example/{image_id}.jpg",
        bytes_in=500_000,
        bytes_out=200_000,
        width=1500,
        height=1500,
        format="jpeg",
        sha256="ab" * 32,
        duration_ms=60,
        source_sha256=hashlib.sha256(image_id.encode()).hexdigest(),
        etag=f'"{image_id}"',
        first_byte_ms=20,
    )


def end_unclaimed(batch: UUID, rows: int, connection: Connection) -> None:
    """End the images of the next rows, and those with their links, as if they had been claimed."""
    ended = int(connection.execute(_END_UNCLAIMED, {"batch": batch, "rows": rows}).scalar_one())
    count_ended(connection, batch, succeeded=ended, bytes_in=500_000 * ended, bytes_out=200_000 * ended)


def end_page(batch: UUID, images: Sequence[ClaimedImage], connection: Connection) -> None:
    """End a page of images, and those with their links, by one statement."""
    ids = [UUID(image.payload["image_id"]) for image in images]
    ended = int(connection.execute(_END_PAGE, {"ids": ids}).scalar_one())
    count_ended(connection, batch, succeeded=ended, bytes_in=500_000 * ended, bytes_out=200_000 * ended)
