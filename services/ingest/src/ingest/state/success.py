"""The success of an attempt, in one statement: what nearly all outcomes are.

A transaction of several statements would ask the database seven times for it. The statement decides as they would:
an image that is not open any more, or an attempt that was never handed out, is not its business, nor is a host that has
just had trouble. Then it changes nothing, and the caller looks closer.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from chassis.db.prepared import Prepared
from ingest.settings import IngestSettings
from ingest.state.batch import BatchStatus
from ingest.state.batch_status import ADD_COST
from ingest.state.hosts import PACE_COLUMNS, UPDATES_PER_S
from ingest.state.images import Outcome
from ingest.state.known_sources import SAVE_AFTER

# Each part waits for the one before it, so that locks are taken in their order: image (2), batch (3), host (4),
# batch_hosts (6). Above `UPDATES_PER_S` good answers a second they would all wait for the one row of their host; there
# some of them, drawn by lot, stand for all.
# Images with the same URL and options end with theirs, so one download answers them all.
# The counter and the seal are one update: whoever brings `pending` to 0 seals, and nobody else can.
_END_WITH_SUCCESS = Prepared(
    "end_with_success",
    f"""
    WITH image AS MATERIALIZED (
        SELECT images.id, images.host, images.lease_until - make_interval(secs => :lease_s) AS started_at,
               greatest(1, floor(hosts.rate / :updates_per_s))::integer AS weight
        FROM images LEFT JOIN hosts ON hosts.host = images.host
        WHERE images.id = :image AND images.batch = :batch AND images.attempt >= :attempt
          AND images.status IN ('PENDING', 'DISPATCHED') AND coalesce(hosts.failures, 0) = 0
        FOR UPDATE OF images
    ), ended AS (
        UPDATE images SET
            status = 'SUCCEEDED', code = :code, detail = :detail, output_url = :output_url, bytes_in = :bytes_in,
            bytes_out = :bytes_out, width = :width, height = :height, format = :format, sha256 = :sha256,
            duration_ms = :duration_ms, lease_until = NULL, finished_at = now()
        WHERE (id = :image OR same_as = :image) AND status IN ('PENDING', 'DISPATCHED')
          AND EXISTS (SELECT FROM image)
        RETURNING id
    ), number AS (
        SELECT count(*)::integer AS images FROM ended
    ), counted AS (
        UPDATE batches SET
            pending = pending - number.images,
            succeeded = succeeded + number.images,
            bytes_in = bytes_in + number.images * CAST(:counted_in AS bigint),
            bytes_out = bytes_out + number.images * CAST(:counted_out AS bigint),
            larger_images = larger_images + CASE WHEN CAST(:growth AS bigint) > 0 THEN number.images ELSE 0 END,
            larger_bytes = larger_bytes + number.images * CAST(:growth AS bigint),
            reused = reused + CASE WHEN :reused THEN number.images ELSE 0 END,
            {ADD_COST},
            status = CASE WHEN pending = number.images AND status IN ('PENDING', 'PROCESSING')
                          THEN 'SEALING' ELSE status END,
            sealed_at = CASE WHEN pending = number.images
                             THEN coalesce(sealed_at, clock_timestamp()) ELSE sealed_at END
        FROM number
        WHERE request_id = :batch AND number.images > 0
        RETURNING status, pending, number.images
    ), learned AS (
        UPDATE hosts SET ({PACE_COLUMNS}) = (
            SELECT {PACE_COLUMNS}
            FROM pace_after(hosts, clock_timestamp(), image.started_at, 'good',
                            coalesce(CAST(:first_byte_s AS float8), exp(hosts.floor_log_s), 0.2), NULL, image.weight,
                            coalesce(CAST(:own_rates AS jsonb) ->> hosts.host,
                                     CAST(:own_rates AS jsonb) ->> regexp_replace(hosts.host, ':[0-9]+$', ''),
                                     :max_rate)::float8))
        FROM counted, image
        WHERE hosts.host = image.host AND image.started_at IS NOT NULL AND random() * image.weight < 1
    ), of_host AS (
        UPDATE batch_hosts SET
            succeeded = succeeded + counted.images,
            bytes_in = bytes_in + counted.images * CAST(:counted_in AS bigint),
            bytes_out = bytes_out + counted.images * CAST(:counted_out AS bigint)
        FROM counted, image
        WHERE batch = :batch AND batch_hosts.host = image.host
    ), saved AS (
        {SAVE_AFTER.format(after="EXISTS (SELECT FROM counted)")}
    )
    SELECT counted.status, counted.pending FROM counted
    """,
)


@dataclass(frozen=True, slots=True)
class Success:
    """The batch of an image that has just succeeded, and whether this sealed it."""

    batch_status: BatchStatus
    sealed: bool


def end_with_success(
    connection: Connection, settings: IngestSettings, image_id: UUID, outcome: Outcome
) -> Success | None:
    """End an open image, and those with its URL and options, with an output; None when something has to be looked at.

    PENDING | DISPATCHED → SUCCEEDED, and with the batch's last image PENDING | PROCESSING → SEALING. One statement, so
    no transaction is needed around it; it waits for the image, the batch and the host and locks them.
    """
    values = {
        "image": image_id,
        "batch": outcome.request_id,
        "attempt": outcome.attempt,
        "code": outcome.code,
        "detail": outcome.detail,
        "output_url": outcome.output_url,
        "bytes_in": outcome.bytes_in,
        "bytes_out": outcome.bytes_out,
        "width": outcome.width,
        "height": outcome.height,
        "format": outcome.format,
        "sha256": outcome.sha256,
        "duration_ms": outcome.duration_ms,
        "counted_in": outcome.bytes_in or 0,
        "counted_out": outcome.bytes_out or 0,
        "growth": outcome.growth,
        "reused": outcome.reused,
        "cost_s": outcome.cost_s,
        # Without reuse nothing is kept of a source.
        "source_sha256": outcome.source_sha256 if settings.reuse_days else None,
        "etag": outcome.etag,
        "last_modified": outcome.last_modified,
        "lease_s": settings.lease_s,
        "updates_per_s": UPDATES_PER_S,
        "first_byte_s": None if outcome.first_byte_ms is None else outcome.first_byte_ms / 1000,
        "own_rates": settings.own_rates_json,
        "max_rate": str(settings.host_max_rate),
    }
    row = _END_WITH_SUCCESS.execute(connection, values).first()
    if row is None:
        return None
    status = BatchStatus(row.status)
    return Success(status, status is BatchStatus.SEALING and row.pending == 0)
