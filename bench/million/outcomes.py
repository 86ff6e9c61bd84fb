"""What stands for the compressor: the outcomes that it would report, recorded by ingest's own code."""

from __future__ import annotations

import hashlib
from uuid import UUID

from sqlalchemy import Engine

from ingest.dispatch.outcome import record_outcome
from ingest.dispatch.tasks import ClaimedImage
from ingest.settings import IngestSettings
from ingest.state.images import Outcome


def record(engine: Engine, settings: IngestSettings, batch: UUID, image: ClaimedImage) -> None:
    """Record the success of an image as a compressor reports it."""
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
