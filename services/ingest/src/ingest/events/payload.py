"""What subscribers are told of a batch, and when it is added to the outbox: accepted, started, ended.

An entry is committed with the change that it tells of, so nothing is told that did not happen, and nothing that
happened stays untold.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from chassis.times import rfc3339
from ingest.state.batch import Batch, BatchStatus
from ingest.state.imports import SHEET_STEP
from ingest.state.outbox import OutboxKind, add_entry


def final_message(batch: Batch) -> str:
    """Return the sentence for subscribers; "Compression done" is the first release's and never changes."""
    match batch.status:
        case BatchStatus.COMPLETED:
            return "Compression done"
        case BatchStatus.COMPLETED_WITH_ERRORS:
            skipped = f"; {batch.invalid_rows} bad rows were skipped" if batch.invalid_rows else ""
            return f"Compression done with errors: {batch.failed} of {batch.total} images failed{skipped}"
        case BatchStatus.CANCELLED:
            return f"Cancelled: {batch.succeeded} of {batch.total} images were compressed"
        case BatchStatus.FAILED if batch.error and batch.error.get("step") == SHEET_STEP:
            return "Failed: the sheet could not be imported"
        case BatchStatus.FAILED if batch.error:
            return f"Failed in step {batch.error.get('step', 'unknown')} after {batch.failures} tries"
        case BatchStatus.FAILED:
            return f"Failed: none of {batch.total} images could be compressed"
        case _:
            return "Compression is running"


def event_payload(batch: Batch) -> dict[str, Any]:
    """Return what an event says of a batch; finish and fail answer the same."""
    return {
        "request_id": str(batch.request_id),
        "status": batch.status.value,
        "counts": batch.counts(),
        "message": final_message(batch),
        "finished_at": rfc3339(batch.finished_at),
        "generation": batch.generation,
        "webhook_url": batch.webhook_url,
        "owner": batch.owner,
    }


def add_accepted_event(connection: Connection, batch: Batch) -> None:
    """Add `batch.accepted` to the transaction that stores the batch; a retry is no second acceptance."""
    message = f"Accepted: {batch.total} images in {batch.row_count} rows"
    _add(connection, OutboxKind.ACCEPTED, batch, status=BatchStatus.PENDING, message=message)


def add_started_event(connection: Connection, before: Batch, after: Batch) -> None:
    """Add `batch.started` if this transaction brought the locked batch from PENDING to PROCESSING.

    A retry starts a new generation, and so is told of again.
    """
    if before.status is BatchStatus.PENDING and after.status is BatchStatus.PROCESSING:
        message = f"Started: {after.pending} images are to be compressed"
        _add(connection, OutboxKind.STARTED, after, status=BatchStatus.PROCESSING, message=message)


def add_ended_event(connection: Connection, batch: Batch, *, grace_s: float) -> None:
    """Add the event of a batch that has ended; for `grace_s` seconds the workflow may send it itself."""
    add_entry(
        connection,
        OutboxKind.NOTIFY,
        batch.request_id,
        generation=batch.generation,
        payload=event_payload(batch),
        delay_s=grace_s,
    )


def _add(connection: Connection, kind: OutboxKind, batch: Batch, *, status: BatchStatus, message: str) -> None:
    payload = event_payload(batch) | {"status": status.value, "message": message}
    add_entry(connection, kind, batch.request_id, generation=batch.generation, payload=payload)
