"""The success of attempts, in one statement: what nearly all outcomes are.

A transaction of several statements would ask the database seven times for it. The statement decides as they would:
an image that is not open any more, or an attempt that was never handed out, is not its business, nor is a host that has
just had trouble. Those it leaves alone, and the caller looks closer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from chassis.db.prepared import Prepared
from ingest.settings import IngestSettings
from ingest.state.batch import BatchStatus
from ingest.state.batch_status import ADD_COSTS
from ingest.state.hosts import PACE_COLUMNS, UPDATES_PER_S
from ingest.state.images import Outcome
from ingest.state.known_sources import INSERT_SOURCES, KEEP_SOURCES, KEY

# Each part waits for the one before it, so that locks are taken in their order: images (2), batch (3), host (4),
# batch_hosts and known_sources (6). Of an array the planner knows how few outcomes there are, so it looks images up.
# Above `UPDATES_PER_S` good answers a second they would all wait for the one row of their host; there some of them,
# drawn by lot, stand for all, and outcomes that are told together are one answer that stands for them.
# Images with the same URL and options end with theirs, so one download answers them all.
# The counter and the seal are one update: whoever brings `pending` to 0 seals, and nobody else can.
# Two images of one source, that a retry has separated, are one known source.
_END_WITH_SUCCESS = Prepared(
    "end_with_success",
    f"""
    WITH told AS MATERIALIZED (
        SELECT told.* FROM unnest(CAST(CAST(:outcomes AS text[]) AS json[])) AS outcome
        CROSS JOIN LATERAL json_to_record(outcome) AS told (
            image uuid, attempt integer, code text, detail text, output_url text, bytes_in bigint, bytes_out bigint,
            width integer, height integer, format text, sha256 text, duration_ms bigint, growth bigint, reused boolean,
            cost_s float8, source_sha256 text, etag text, last_modified text, first_byte_s float8)
        ORDER BY image
    ), image AS MATERIALIZED (
        SELECT told.*, host, input_url, options, lease_until - make_interval(secs => :lease_s) AS started_at,
               greatest(1, floor(rate / :updates_per_s))::integer AS weight
        FROM told CROSS JOIN LATERAL (
            SELECT images.host, input_url, options, lease_until, rate
            FROM images LEFT JOIN hosts ON hosts.host = images.host
            WHERE images.id = told.image AND images.batch = :batch AND images.attempt >= told.attempt
              AND images.status IN ('PENDING', 'DISPATCHED') AND coalesce(hosts.failures, 0) = 0
            FOR UPDATE OF images) AS open
    ), twin AS MATERIALIZED (
        SELECT image.image AS id, image.* FROM image
        UNION ALL
        SELECT same.id, image.* FROM image
        CROSS JOIN LATERAL (SELECT id FROM images WHERE same_as = image.image OFFSET 0) AS same
    ), ended AS (
        UPDATE images SET
            status = 'SUCCEEDED', code = twin.code, detail = twin.detail, output_url = twin.output_url,
            bytes_in = twin.bytes_in, bytes_out = twin.bytes_out, width = twin.width, height = twin.height,
            format = twin.format, sha256 = twin.sha256, duration_ms = twin.duration_ms, lease_until = NULL,
            finished_at = now()
        FROM twin
        WHERE images.id = ANY (ARRAY(SELECT id FROM twin)) AND images.id = twin.id
          AND images.status IN ('PENDING', 'DISPATCHED')
        RETURNING twin.host, coalesce(twin.bytes_in, 0) AS bytes_in, coalesce(twin.bytes_out, 0) AS bytes_out,
                  twin.growth, twin.reused
    ), number AS (
        SELECT count(*)::integer AS images, sum(bytes_in)::bigint AS sum_in, sum(bytes_out)::bigint AS sum_out,
               count(*) FILTER (WHERE growth > 0) AS larger, sum(growth)::bigint AS larger_by,
               count(*) FILTER (WHERE reused) AS again
        FROM ended
    ), tried AS (
        SELECT avg(cost_s) AS mean_s, count(*)::integer AS images FROM image
    ), counted AS (
        UPDATE batches SET
            pending = pending - number.images,
            succeeded = succeeded + number.images,
            bytes_in = bytes_in + number.sum_in,
            bytes_out = bytes_out + number.sum_out,
            larger_images = larger_images + number.larger,
            larger_bytes = larger_bytes + number.larger_by,
            reused = reused + number.again,
            {ADD_COSTS.format(mean_s="tried.mean_s", images="tried.images")},
            status = CASE WHEN pending = number.images AND status IN ('PENDING', 'PROCESSING')
                          THEN 'SEALING' ELSE status END,
            sealed_at = CASE WHEN pending = number.images
                             THEN coalesce(sealed_at, clock_timestamp()) ELSE sealed_at END
        FROM number, tried
        WHERE request_id = :batch AND number.images > 0
        RETURNING status, pending
    ), answer AS (
        SELECT host, min(started_at) AS started_at, exp(avg(ln(greatest(first_byte_s, 0.001)))) AS first_byte_s,
               count(*)::integer AS images, max(weight) AS weight
        FROM image WHERE started_at IS NOT NULL GROUP BY host
    ), learned AS (
        UPDATE hosts SET ({PACE_COLUMNS}) = (
            SELECT {PACE_COLUMNS}
            FROM pace_after(hosts, clock_timestamp(), answer.started_at, 'good',
                            coalesce(answer.first_byte_s, exp(hosts.floor_log_s), 0.2), NULL,
                            greatest(answer.weight, answer.images),
                            coalesce(CAST(:own_rates AS jsonb) ->> hosts.host,
                                     CAST(:own_rates AS jsonb) ->> regexp_replace(hosts.host, ':[0-9]+$', ''),
                                     :max_rate)::float8))
        FROM counted, answer
        WHERE hosts.host = answer.host AND random() * answer.weight < answer.images
    ), of_host AS (
        UPDATE batch_hosts SET
            succeeded = succeeded + given.images,
            bytes_in = bytes_in + given.sum_in,
            bytes_out = bytes_out + given.sum_out
        FROM counted, (SELECT host, count(*) AS images, sum(bytes_in) AS sum_in, sum(bytes_out) AS sum_out
                       FROM ended GROUP BY host) AS given
        WHERE batch = :batch AND batch_hosts.host = given.host
    ), saved AS (
        {INSERT_SOURCES}
        SELECT DISTINCT ON (key) * FROM (
            SELECT {KEY} AS key, coalesce(batches.owner, ''), etag, last_modified, images.source_sha256,
                   coalesce(images.bytes_in, 0), format
            FROM image AS images, batches
            WHERE request_id = :batch AND images.source_sha256 IS NOT NULL AND format IS NOT NULL
              AND EXISTS (SELECT FROM counted)) AS found
        ORDER BY key
        {KEEP_SOURCES}
    )
    SELECT image.image, counted.status, counted.pending FROM image, counted
    """,
)

MOST_OUTCOMES = 100
"""Outcomes that are recorded at once, at most."""


@dataclass(frozen=True, slots=True)
class Success:
    """The images that have just succeeded, their batch, and whether this sealed it."""

    images: frozenset[UUID]
    batch_status: BatchStatus
    sealed: bool


def end_with_success(
    connection: Connection, settings: IngestSettings, request_id: UUID, outcomes: Mapping[UUID, Outcome]
) -> Success | None:
    """End open images of a batch, and those with their URLs and options, with outputs; None when it ended none.

    PENDING | DISPATCHED → SUCCEEDED, and with the batch's last image PENDING | PROCESSING → SEALING. One statement, so
    no transaction is needed around it; it waits for the images, the batch and the host and locks them.

    Args:
        connection: with or without a transaction.
        settings: reuse, lease and bounds of rates.
        request_id: the batch.
        outcomes: by image, those that succeeded; at most `MOST_OUTCOMES`.
    """
    values = {
        "outcomes": [json.dumps(_told(settings, image_id, outcome)) for image_id, outcome in outcomes.items()],
        "batch": request_id,
        "lease_s": settings.lease_s,
        "updates_per_s": UPDATES_PER_S,
        "own_rates": settings.own_rates_json,
        "max_rate": str(settings.host_max_rate),
    }
    rows = _END_WITH_SUCCESS.execute(connection, values).all()
    if not rows:
        return None
    status = BatchStatus(rows[0].status)
    sealed = status is BatchStatus.SEALING and rows[0].pending == 0
    return Success(frozenset(row.image for row in rows), status, sealed)


def _told(settings: IngestSettings, image_id: UUID, outcome: Outcome) -> dict[str, Any]:
    return {
        "image": str(image_id),
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
        "growth": outcome.growth,
        "reused": outcome.reused,
        "cost_s": outcome.cost_s,
        # Without reuse nothing is kept of a source.
        "source_sha256": outcome.source_sha256 if settings.reuse_days else None,
        "etag": outcome.etag,
        "last_modified": outcome.last_modified,
        "first_byte_s": None if outcome.first_byte_ms is None else outcome.first_byte_ms / 1000,
    }
