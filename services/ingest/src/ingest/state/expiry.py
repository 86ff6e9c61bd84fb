"""Ends images whose end no outcome reports: after a cancellation, a deadline, lost workers, or a dead host.

Every function works inside a transaction that holds the batch. Images that somebody else holds are passed over and
found again the next time (`state.locks`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from sqlalchemy import Connection, text

from chassis.limited import Limited
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, BatchStatus, ImageStatus
from ingest.state.batch_status import Ended, count_ended
from ingest.state.imports import SHEET_STEP, stop_import

MAX_ENDED_ROWS: Annotated[
    int,
    Limited(
        "rows",
        "the next call, claim or sweep goes on",
        "Rows of a cancelled or late batch whose images one transaction ends",
        internal=True,
    ),
] = 5000

MAX_UNREACHABLE_IMAGES: Annotated[
    int,
    Limited(
        "images",
        "the next claim goes on",
        "Images that one claim ends because their host stays away",
        internal=True,
    ),
] = 10_000

_ENDED_ROW = text(
    """
    SELECT ended_row, (SELECT max(row_number) FROM rows WHERE rows.batch = request_id) AS last_row
    FROM batches WHERE request_id = :batch
    """
)
_NOTE_ENDED_ROW = text("UPDATE batches SET ended_row = :row WHERE request_id = :batch")
_END_OPEN = text(
    """
    WITH open AS (
        SELECT id FROM images
        WHERE batch = :batch AND row_number > :after AND row_number <= :up_to AND status IN ('PENDING', 'DISPATCHED')
        FOR UPDATE SKIP LOCKED
    )
    UPDATE images SET status = :status, code = :code, detail = :detail, lease_until = NULL, finished_at = now()
    FROM open WHERE images.id = open.id
    """
)
# Ends the images that a subquery chooses, with a detail for each, and those with their URL and options.
_END_CHOSEN = """
    WITH chosen AS ({choice}), ended AS (
        UPDATE images SET status = 'FAILED', code = :code, detail = chosen.detail, lease_until = NULL,
                          finished_at = now()
        FROM chosen WHERE images.id = chosen.id
        RETURNING images.id, images.detail
    ), copied AS (
        UPDATE images SET status = 'FAILED', code = :code, detail = ended.detail, finished_at = now()
        FROM ended WHERE images.same_as = ended.id AND images.status = 'PENDING'
        RETURNING images.id
    )
    SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM copied)
"""
_END_LOST = text(
    _END_CHOSEN.format(
        choice="""
        SELECT id, 'No attempt of ' || attempt || ' reported back.' AS detail FROM images
        WHERE batch = :batch AND status = 'DISPATCHED' AND lease_until <= now() AND attempt >= attempt_limit
        FOR UPDATE SKIP LOCKED"""
    )
)
# Images wait for a host that is shut, but not for ever. By host, of which hardly ever any is found: a join would be
# planned as one that reads every image of the batch.
_END_UNREACHABLE = text(
    _END_CHOSEN.format(
        choice="""
        SELECT waiting.id, 'Nothing good came from this host since '
               || to_char(hosts.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC".') AS detail
        FROM batch_hosts JOIN hosts USING (host)
        CROSS JOIN LATERAL (
            SELECT id FROM images
            WHERE images.host = hosts.host AND images.batch = batch_hosts.batch
              AND images.status = 'PENDING' AND images.same_as IS NULL
              AND images.next_at <= now() - make_interval(secs => :patience_s)
            ORDER BY next_at, row_number, slot
            LIMIT :limit
            FOR UPDATE SKIP LOCKED) AS waiting
        WHERE batch_hosts.batch = :batch AND hosts.opened_at <= now() - make_interval(secs => :patience_s)
        LIMIT :limit"""
    )
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
_IS_LATE = text("SELECT deadline_at <= now() FROM batches WHERE request_id = :batch")


def end_overdue(connection: Connection, batch: Batch) -> Ended:
    """Do what time has decided: end all images of a cancelled or late batch, else see to leases that ran out.

    PENDING | DISPATCHED → CANCELLED after a cancellation, → FAILED after the deadline; DISPATCHED → PENDING, or FAILED
    with the last attempt, after a lease. An import that is cancelled or late stops: IMPORTING → PENDING | SEALING. The
    caller holds the batch; passes over images that others hold.
    """
    if batch.status is BatchStatus.IMPORTING:
        batch = _stopped(connection, batch)
        if batch.status is BatchStatus.SEALING:
            return Ended(batch, 0, sealed=True)
    if batch.pending == 0 or batch.status.is_final or batch.status is BatchStatus.IMPORTING:
        return Ended(batch, 0, sealed=False)
    if batch.error is not None and batch.error.get("step") == SHEET_STEP:
        detail = "The sheet could not be read to its end."
        return end_open_images(connection, batch, status=ImageStatus.FAILED, code="BATCH_FAILED", detail=detail)
    if batch.cancel_requested:
        return end_open_images(
            connection, batch, status=ImageStatus.CANCELLED, code="CANCELLED", detail="The batch was cancelled."
        )
    if connection.execute(_IS_LATE, {"batch": batch.request_id}).scalar_one():
        return end_open_images(
            connection, batch, status=ImageStatus.FAILED, code="DEADLINE", detail="The batch's deadline passed."
        )
    values = {"batch": batch.request_id, "code": "WORKER_LOST"}
    lost = int(connection.execute(_END_LOST, values).scalar_one())
    connection.execute(_RETURN_EXPIRED, values)
    return _counted(connection, batch, lost)


def _stopped(connection: Connection, batch: Batch) -> Batch:
    if batch.cancel_requested:
        return stop_import(connection, batch.request_id)
    if connection.execute(_IS_LATE, {"batch": batch.request_id}).scalar_one():
        error = {"error": "The batch's deadline passed before its sheet was imported."}
        return stop_import(connection, batch.request_id, error=error)
    return batch


def end_open_images(connection: Connection, batch: Batch, *, status: ImageStatus, code: str, detail: str) -> Ended:
    """End the open images of the next `MAX_ENDED_ROWS` rows, after the last row from the first again.

    PENDING | DISPATCHED → FAILED | CANCELLED; the last one seals the batch. The caller holds the batch; passes over
    images that others hold.
    """
    found = connection.execute(_ENDED_ROW, {"batch": batch.request_id}).one()
    up_to = found.ended_row + MAX_ENDED_ROWS
    values = {"batch": batch.request_id, "status": status.value, "code": code, "detail": detail}
    window = {"after": found.ended_row, "up_to": up_to}
    count = connection.execute(_END_OPEN, {**values, **window}).rowcount
    more = (found.last_row or 0) > up_to
    if more or found.ended_row:
        connection.execute(_NOTE_ENDED_ROW, {"batch": batch.request_id, "row": up_to if more else 0})
    ended = _counted(connection, batch, count)
    return replace(ended, more=more and ended.batch.pending > 0)


def end_unreachable(connection: Connection, settings: IngestSettings, batch: Batch) -> Ended:
    """End the images that have waited long enough for a host that is shut.

    PENDING → FAILED. The caller holds the batch; passes over images that others hold.
    """
    if batch.pending == 0 or batch.status.is_final or batch.status is BatchStatus.IMPORTING:
        return Ended(batch, 0, sealed=False)
    values = {
        "batch": batch.request_id,
        "code": "HOST_UNREACHABLE",
        "patience_s": settings.host_patience_s,
        "limit": MAX_UNREACHABLE_IMAGES,
    }
    return _counted(connection, batch, int(connection.execute(_END_UNREACHABLE, values).scalar_one()))


def _counted(connection: Connection, batch: Batch, ended: int) -> Ended:
    return count_ended(connection, batch.request_id, failed=ended) if ended else Ended(batch, 0, sealed=False)
