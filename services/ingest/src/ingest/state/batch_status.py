"""How a batch moves from one status to the next; every function works inside the caller's transaction.

`PENDING → PROCESSING → SEALING →` one of four ends; a retry leads from an end back to PENDING. How a large sheet comes
to PENDING is in `state.imports`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from ingest.state.batch import Batch, BatchStatus, batch_from_row


@dataclass(frozen=True, slots=True)
class Ended:
    """A batch after some of its images have ended: how many, and whether the last one sealed the batch.

    `more` when only a page of a large batch was gone through: the next call goes on with the next one.
    """

    batch: Batch
    images: int
    sealed: bool
    more: bool = False


ADD_COSTS = """
            image_cost_s = image_cost_s
                + coalesce({mean_s} - image_cost_s, 0) * {images} / (least(costed, 19) + {images}),
            costed = costed + CASE WHEN {mean_s} IS NULL THEN 0 ELSE {images} END"""
"""Assignments that take the mean seconds of more images into that of the last twenty or so; NULL changes nothing."""

_INSERT = text(
    """
    INSERT INTO batches (request_id, owner, status, options, header, columns, dialect, source_name, source_sha256,
                         webhook_url, row_count, invalid_rows, deduplicated, total, pending, failed, sealed_at,
                         deadline_at, import_key, fresh)
    VALUES (:request_id, :owner,
            CASE WHEN :importing THEN 'IMPORTING' WHEN :total = :failed THEN 'SEALING' ELSE 'PENDING' END,
            CAST(:options AS jsonb), CAST(:header AS jsonb), CAST(:columns AS jsonb), CAST(:dialect AS jsonb),
            :source_name, :source_sha256, :webhook_url, :row_count, :invalid_rows, :deduplicated, :total,
            :total - :failed, :failed, CASE WHEN :total = :failed AND NOT :importing THEN now() END,
            now() + make_interval(secs => :deadline_s), :import_key, :fresh)
    ON CONFLICT DO NOTHING
    """
)
_BEGIN = text(
    """
    UPDATE batches SET
        execution = coalesce(:execution, execution),
        callback_url = coalesce(:callback_url, callback_url),
        heartbeat_at = CASE WHEN :alive THEN now() ELSE heartbeat_at END,
        started_at = coalesce(started_at, now()),
        status = CASE WHEN status = 'PENDING' THEN 'PROCESSING' ELSE status END
    WHERE request_id = :batch AND finished_at IS NULL
    RETURNING *
    """
)
_MEASURE_WEIGHT = 0.3  # of the last two seconds or so: images of many batches end in bursts, as the queue has them
_MEASURE = text(
    """
    UPDATE batches SET
        images_per_s = (1 - :weight) * images_per_s
                       + CASE WHEN images_per_s = 0 THEN 1 ELSE :weight END
                         * greatest(0, succeeded + failed - measured_ended)
                         / extract(epoch FROM now() - measured_at)::float,
        measured_ended = succeeded + failed,
        measured_at = now()
    WHERE request_id = :batch AND measured_at <= now() - interval '2 s'
    """
)
_MEASURED = text("SELECT images_per_s, image_cost_s, costed FROM batches WHERE request_id = :batch")
_NOTE_ESTIMATE = text(
    """
    UPDATE batches SET estimate = CAST(:estimate AS jsonb),
                       deadline_at = greatest(deadline_at, now() + make_interval(secs => :deadline_s))
    WHERE request_id = :batch
    """
)
_ASK_CANCEL = text("UPDATE batches SET cancel_requested = true WHERE request_id = :batch RETURNING *")
# The counter and the seal are one statement: whoever brings `pending` to 0 seals, and nobody else can.
# now() is when the transaction began: the one that seals may have begun before another one that ended an image.
_COUNT_ENDED = text(
    f"""
    UPDATE batches SET
        pending = pending - :succeeded - :failed,
        succeeded = succeeded + :succeeded,
        failed = failed + :failed,
        bytes_in = bytes_in + :bytes_in,
        bytes_out = bytes_out + :bytes_out,
        larger_images = larger_images + :larger_images,
        larger_bytes = larger_bytes + :larger_bytes,
        reused = reused + :reused,
        {ADD_COSTS.format(mean_s="CAST(:cost_s AS float8)", images=1)},
        status = CASE WHEN pending = :succeeded + :failed AND status IN ('PENDING', 'PROCESSING')
                      THEN 'SEALING' ELSE status END,
        sealed_at = CASE WHEN pending = :succeeded + :failed
                         THEN coalesce(sealed_at, clock_timestamp()) ELSE sealed_at END
    WHERE request_id = :batch
    RETURNING *
    """
)
# Materialized: as a plain subquery a page may be looked up anew for each row, and is another one each time.
_SEAL_FORGOTTEN = text(
    """
    WITH page AS MATERIALIZED (
        SELECT request_id FROM batches
        WHERE finished_at IS NULL AND status NOT IN ('SEALING', 'IMPORTING') AND pending = 0
        LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE batches SET status = 'SEALING', sealed_at = clock_timestamp()
    WHERE request_id IN (SELECT request_id FROM page)
    """
)
_END = text(
    """
    UPDATE batches SET status = :status, finished_at = now(), sealed_at = coalesce(sealed_at, now()),
                       report_uri = :report_uri,
                       error = CASE WHEN :keep_error OR error ->> 'step' = 'sheet' THEN error END
    WHERE request_id = :batch
    RETURNING *
    """
)
_REOPEN = text(
    """
    UPDATE batches SET
        status = CASE WHEN pending + :reopened = 0 THEN 'SEALING' ELSE 'PENDING' END,
        sealed_at = CASE WHEN pending + :reopened = 0 THEN now() END,
        pending = pending + :reopened, failed = failed - :reopened, generation = generation + 1,
        cancel_requested = false, execution = NULL, callback_url = NULL, failures = 0, error = NULL,
        report_uri = NULL, finished_at = NULL, heartbeat_at = now(), ended_row = 0,
        deadline_at = now() + make_interval(secs => :deadline_s)
    WHERE request_id = :batch
    RETURNING *
    """
)


def insert_batch(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Insert a batch; false when its id or its import key is there already.

    nothing → PENDING, or SEALING for a sheet without images, or IMPORTING when `importing` is set. Locks the new batch.
    """
    values = {"importing": False, **values}
    encoded = {name: json.dumps(values[name]) for name in ("options", "header", "columns", "dialect")}
    return bool(connection.execute(_INSERT, {**values, **encoded}).rowcount)


def note_estimate(connection: Connection, request_id: UUID, estimate: Mapping[str, Any], *, deadline_s: float) -> None:
    """Note what a batch will probably take, and put its deadline off to `deadline_s` from now if it ends before.

    IMPORTING | PENDING | SEALING → the same. The caller holds the batch.
    """
    values = {"batch": request_id, "estimate": json.dumps(estimate), "deadline_s": deadline_s}
    connection.execute(_NOTE_ESTIMATE, values)


def begin_batch(
    connection: Connection,
    request_id: UUID,
    *,
    execution: str | None = None,
    callback_url: str | None = None,
    alive: bool,
) -> Batch | None:
    """Let the work on a batch begin; return it, or None when it has ended.

    PENDING → PROCESSING; other open statuses stay. The caller holds the batch.

    Args:
        connection: the transaction.
        request_id: the batch.
        execution: the execution that owns the batch from now on; None leaves the owner as it is.
        callback_url: where this execution waits to be called.
        alive: whether this is a sign of life of the owner; the sweeper's claims are none.
    """
    values = {"batch": request_id, "execution": execution, "callback_url": callback_url, "alive": alive}
    row = connection.execute(_BEGIN, values).mappings().first()
    return None if row is None else batch_from_row(row)


@dataclass(frozen=True, slots=True)
class Measured:
    """How many images of a batch ended in a second, what one takes in the codec, and how many have told that."""

    images_per_s: float
    image_cost_s: float
    costed: int


def measure_batch(connection: Connection, request_id: UUID) -> Measured:
    """Return what a batch gets done, measured over two seconds or more before now and, by less and less, before that.

    measured then → measured now, with the same status. The caller holds the batch.
    """
    connection.execute(_MEASURE, {"batch": request_id, "weight": _MEASURE_WEIGHT})
    return Measured(**connection.execute(_MEASURED, {"batch": request_id}).mappings().one())


def ask_cancel(connection: Connection, request_id: UUID) -> Batch:
    """Note that a client has cancelled the batch: from now on no image of it goes back to PENDING.

    PENDING | PROCESSING → the same, with `cancel_requested`. The caller holds the batch.
    """
    return batch_from_row(connection.execute(_ASK_CANCEL, {"batch": request_id}).mappings().one())


def count_ended(
    connection: Connection,
    request_id: UUID,
    *,
    succeeded: int = 0,
    failed: int = 0,
    bytes_in: int = 0,
    bytes_out: int = 0,
    larger_images: int = 0,
    larger_bytes: int = 0,
    reused: int = 0,
    cost_s: float | None = None,
) -> Ended:
    """Move images from `pending` to the other counters; seal the batch when none is left.

    PENDING | PROCESSING → SEALING with the last image. Waits for the batch and locks it; the caller may hold the
    images that have ended.

    Args:
        connection: the transaction.
        request_id: the batch.
        succeeded: images that have an output.
        failed: images that have none.
        bytes_in: of the sources of those that succeeded.
        bytes_out: of their outputs.
        larger_images: those whose output is larger than its source.
        larger_bytes: by how much, of all of them.
        reused: those whose source an earlier batch had.
        cost_s: seconds that the one which ended them took in the codec; None when none was tried.
    """
    values = {
        "batch": request_id,
        "succeeded": succeeded,
        "failed": failed,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "larger_images": larger_images,
        "larger_bytes": larger_bytes,
        "reused": reused,
        "cost_s": cost_s,
    }
    batch = batch_from_row(connection.execute(_COUNT_ENDED, values).mappings().one())
    ended = succeeded + failed
    return Ended(batch, ended, ended > 0 and batch.status is BatchStatus.SEALING and batch.pending == 0)


def seal_forgotten(connection: Connection, *, limit: int) -> int:
    """Seal batches without open images that the counter has not sealed; return how many. There should be none.

    PENDING | PROCESSING → SEALING. Locks those batches; passes over those that somebody holds.
    """
    return connection.execute(_SEAL_FORGOTTEN, {"limit": limit}).rowcount


def end_batch(connection: Connection, request_id: UUID, status: BatchStatus, *, report_uri: str | None) -> Batch:
    """Set the final status; the error that ended the batch is kept: without a report, or if its sheet is to blame.

    SEALING → COMPLETED | COMPLETED_WITH_ERRORS | CANCELLED | FAILED; PROCESSING | PENDING without open images → FAILED
    when supervision failed. The caller holds the batch.
    """
    values = {
        "batch": request_id,
        "status": status.value,
        "report_uri": report_uri,
        "keep_error": report_uri is None,
    }
    return batch_from_row(connection.execute(_END, values).mappings().one())


def reopen_batch(connection: Connection, request_id: UUID, *, reopened: int, deadline_s: float) -> Batch:
    """Begin a new generation with so many images open again, without an owner.

    COMPLETED_WITH_ERRORS | FAILED | CANCELLED → PENDING, or SEALING when no image is open. The caller holds the batch.
    """
    values = {"batch": request_id, "reopened": reopened, "deadline_s": deadline_s}
    return batch_from_row(connection.execute(_REOPEN, values).mappings().one())
