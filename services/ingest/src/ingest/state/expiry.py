"""Ends what can no longer end by itself: expired leases, spent budgets, the deadline, a cancellation.

Every function works inside a transaction that holds the batch (see `lock_batch`); image rows that somebody else is
writing just now are skipped and found again the next time.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from ingest.settings import IngestSettings
from ingest.state.batch import Batch, BatchStatus, ImageStatus, batch_from_row


@dataclass(frozen=True, slots=True)
class Settled:
    """A batch after settling, how many images ended, and whether that sealed it."""

    batch: Batch
    ended: int
    sealed: bool


_END_OPEN = text(
    """
    WITH open AS (
        SELECT id FROM images
        WHERE batch = :batch AND status IN ('PENDING', 'DISPATCHED')
        FOR UPDATE SKIP LOCKED
    )
    UPDATE images SET status = :status, code = :code, detail = :detail, lease_until = NULL, finished_at = now()
    FROM open WHERE images.id = open.id
    """
)

_END_LOST = text(
    """
    WITH lost AS (
        SELECT id FROM images
        WHERE batch = :batch AND status = 'DISPATCHED' AND lease_until <= now() AND attempt >= attempt_limit
        FOR UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE images SET status = 'FAILED', code = 'WORKER_LOST', lease_until = NULL, finished_at = now(),
            detail = 'No attempt of ' || attempt || ' reported back.'
        FROM lost WHERE images.id = lost.id
        RETURNING images.id, images.detail
    ), copied AS (
        UPDATE images SET status = 'FAILED', code = 'WORKER_LOST', detail = ended.detail, finished_at = now()
        FROM ended WHERE images.same_as = ended.id AND images.status = 'PENDING'
        RETURNING images.id
    )
    SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM copied)
    """
)

_RETURN_EXPIRED = text(
    """
    WITH expired AS (
        SELECT id FROM images
        WHERE batch = :batch AND status = 'DISPATCHED' AND lease_until <= now() AND attempt < attempt_limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE images SET status = 'PENDING', lease_until = NULL, next_at = now()
    FROM expired WHERE images.id = expired.id
    """
)

# The counter and the seal are one statement: whoever brings `pending` to 0 seals, and nobody else can.
# now() is when the transaction began: the one that seals may have begun before another one that ended an image.
_COUNT_ENDED = text(
    """
    UPDATE batches SET
        pending = pending - :succeeded - :failed,
        succeeded = succeeded + :succeeded,
        failed = failed + :failed,
        bytes_in = bytes_in + :bytes_in,
        bytes_out = bytes_out + :bytes_out,
        status = CASE WHEN pending = :succeeded + :failed AND status IN ('PENDING', 'PROCESSING')
                      THEN 'SEALING' ELSE status END,
        sealed_at = CASE WHEN pending = :succeeded + :failed
                         THEN coalesce(sealed_at, clock_timestamp()) ELSE sealed_at END
    WHERE request_id = :batch
    RETURNING *
    """
)

# Images wait for a host while its breaker is open, but not for ever.
_END_UNREACHABLE = text(
    """
    WITH dead AS (
        SELECT images.id, hosts.failures
        FROM batch_hosts JOIN hosts USING (host)
        JOIN images ON images.host = hosts.host AND images.batch = batch_hosts.batch
        WHERE batch_hosts.batch = :batch AND hosts.failures >= :threshold
          AND hosts.opened_at <= now() - make_interval(secs => :patience_s)
          AND images.status = 'PENDING' AND images.same_as IS NULL
          AND images.next_at <= now() - make_interval(secs => :patience_s)
        FOR UPDATE OF images SKIP LOCKED
    ), ended AS (
        UPDATE images SET status = 'FAILED', code = 'HOST_UNREACHABLE', finished_at = now(),
            detail = 'The last ' || dead.failures || ' requests to this host failed.'
        FROM dead WHERE images.id = dead.id
        RETURNING images.id, images.detail
    ), copied AS (
        UPDATE images SET status = 'FAILED', code = 'HOST_UNREACHABLE', detail = ended.detail, finished_at = now()
        FROM ended WHERE images.same_as = ended.id AND images.status = 'PENDING'
        RETURNING images.id
    )
    SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM copied)
    """
)

_IS_OVERDUE = text("SELECT deadline_at <= now() FROM batches WHERE request_id = :batch")


def count_ended(
    connection: Connection,
    request_id: UUID,
    *,
    succeeded: int = 0,
    failed: int = 0,
    bytes_in: int = 0,
    bytes_out: int = 0,
) -> Settled:
    """Move images from `pending` to the other counters; seal the batch when none is left."""
    row = (
        connection.execute(
            _COUNT_ENDED,
            {
                "batch": request_id,
                "succeeded": succeeded,
                "failed": failed,
                "bytes_in": bytes_in,
                "bytes_out": bytes_out,
            },
        )
        .mappings()
        .one()
    )
    batch = batch_from_row(row)
    ended = succeeded + failed
    return Settled(batch, ended, ended > 0 and batch.status is BatchStatus.SEALING and batch.pending == 0)


def end_open_images(connection: Connection, batch: Batch, *, status: ImageStatus, code: str, detail: str) -> Settled:
    """End every open image of a locked batch; the last one seals it."""
    ended = connection.execute(
        _END_OPEN, {"batch": batch.request_id, "status": status.value, "code": code, "detail": detail}
    ).rowcount
    return count_ended(connection, batch.request_id, failed=ended) if ended else Settled(batch, 0, sealed=False)


def settle_overdue(connection: Connection, batch: Batch) -> Settled:
    """Bring a locked batch up to date with time: cancellation, deadline, lost workers, expired leases."""
    if batch.pending == 0 or batch.status.is_final:
        return Settled(batch, 0, sealed=False)
    if batch.cancel_requested:
        return end_open_images(
            connection, batch, status=ImageStatus.CANCELLED, code="CANCELLED", detail="The batch was cancelled."
        )
    if connection.execute(_IS_OVERDUE, {"batch": batch.request_id}).scalar_one():
        return end_open_images(
            connection, batch, status=ImageStatus.FAILED, code="DEADLINE", detail="The batch's deadline passed."
        )
    lost = int(connection.execute(_END_LOST, {"batch": batch.request_id}).scalar_one())
    connection.execute(_RETURN_EXPIRED, {"batch": batch.request_id})
    return count_ended(connection, batch.request_id, failed=lost) if lost else Settled(batch, 0, sealed=False)


def end_unreachable(connection: Connection, settings: IngestSettings, batch: Batch) -> Settled:
    """End the images of a locked batch that have waited long enough for a host whose breaker is open."""
    if batch.pending == 0 or batch.status.is_final:
        return Settled(batch, 0, sealed=False)
    values = {
        "batch": batch.request_id,
        "threshold": settings.host_failures,
        "patience_s": settings.host_patience_s,
    }
    dead = int(connection.execute(_END_UNREACHABLE, values).scalar_one())
    return count_ended(connection, batch.request_id, failed=dead) if dead else Settled(batch, 0, sealed=False)
