"""Which execution supervises a batch: taken by compare-and-set, given up, or lost by failing.

The Executions API is never asked inside a transaction; what it says is used in a later compare-and-set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.db.engine import transact
from chassis.logs import get_logger
from ingest.clients.executions import Executions
from ingest.errors import not_owner
from ingest.events.outbox import OutboxKind, add_entry
from ingest.events.relay import announce_started
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, BatchStatus, ImageStatus, batch_from_row, load_batch, lock_batch
from ingest.state.expiry import end_open_images
from ingest.supervision.finish import ending_payload

log = get_logger(__name__)

_START_ROUNDS = 5  # rivals that may take the batch between our question and our answer

_TAKE = text(
    """
    UPDATE batches SET execution = :execution, callback_url = :callback_url, heartbeat_at = now(),
        started_at = coalesce(started_at, now()),
        status = CASE WHEN status = 'PENDING' THEN 'PROCESSING' ELSE status END
    WHERE request_id = :batch
    RETURNING *
    """
)
_RECORD = text(
    """
    UPDATE batches SET execution = :execution, heartbeat_at = now()
    WHERE request_id = :batch AND execution IS NULL AND finished_at IS NULL
    """
)
_DROP = text(
    """
    UPDATE batches SET execution = NULL, callback_url = NULL, heartbeat_at = now(), failures = failures + :failures
    WHERE request_id = :batch AND execution = :execution AND finished_at IS NULL
    RETURNING *
    """
)
_RECORD_FAILURE = text(
    """
    UPDATE batches SET execution = NULL, callback_url = NULL, heartbeat_at = now(), failures = failures + 1,
        error = CAST(:error AS jsonb) || jsonb_build_object('at', now())
    WHERE request_id = :batch
    RETURNING *
    """
)
_END_FAILED = text(
    """
    UPDATE batches SET status = 'FAILED', sealed_at = coalesce(sealed_at, now()), finished_at = now()
    WHERE request_id = :batch
    RETURNING *
    """
)


@dataclass(frozen=True, slots=True)
class Started:
    """Whether the execution owns the batch now, and the batch."""

    owner: bool
    batch: Batch


@dataclass(frozen=True, slots=True)
class Failed:
    """A recorded failure: `terminal` when the batch has FAILED for good."""

    terminal: bool
    batch: Batch


def start_batch(
    engine: Engine, executions: Executions, request_id: UUID, *, execution: str, callback_url: str
) -> Started:
    """Make an execution the owner of a batch, unless another one lives.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND; 503 when the recorded owner cannot be asked for.
    """
    gone: str | None = None
    batch: Batch | None = None
    for _round in range(_START_ROUNDS):
        started = transact(engine, partial(_take, request_id, execution, callback_url, gone))
        if isinstance(started, Started):
            return started
        batch = started
        assert batch.execution is not None
        if executions.is_live(batch.execution):
            return Started(False, batch)
        log.info("execution.replaced", batch=str(request_id), execution=batch.execution)
        gone = batch.execution
    assert batch is not None
    return Started(False, batch)


def _take(
    request_id: UUID, execution: str, callback_url: str, gone: str | None, connection: Connection
) -> Started | Batch:
    """Take the batch if it is free, ours, or owned by the execution known to be gone; else return it."""
    batch = lock_batch(connection, request_id)
    if batch.status.is_final:
        return Started(False, batch)
    if batch.execution not in {None, execution, gone}:
        return batch
    row = connection.execute(
        _TAKE, {"batch": request_id, "execution": execution, "callback_url": callback_url}
    ).mappings()
    taken = batch_from_row(row.one())
    announce_started(connection, batch, taken)
    return Started(True, taken)


def record_execution(engine: Engine, request_id: UUID, execution: str) -> None:
    """Note a new execution as the owner, unless it or a rival has already said so itself."""
    transact(
        engine, lambda connection: connection.execute(_RECORD, {"batch": request_id, "execution": execution}).rowcount
    )


def drop_dead_execution(engine: Engine, request_id: UUID, execution: str) -> Batch | None:
    """Free a batch whose execution ended without a word and count that as a failure; None when it moved on."""

    def work(connection: Connection) -> Batch | None:
        values = {"batch": request_id, "execution": execution, "failures": 1}
        row = connection.execute(_DROP, values).mappings().first()
        return None if row is None else batch_from_row(row)

    return transact(engine, work)


def release_batch(engine: Engine, request_id: UUID, *, execution: str) -> Batch:
    """Give a batch up for a successor; repeating it is harmless.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER.
    """

    def work(connection: Connection) -> Batch:
        batch = lock_batch(connection, request_id)
        if batch.execution not in {None, execution}:
            raise not_owner(request_id, execution)
        values = {"batch": request_id, "execution": execution, "failures": 0}
        row = connection.execute(_DROP, values).mappings().first()
        return batch if row is None else batch_from_row(row)

    return transact(engine, work)


def fail_batch(
    engine: Engine, settings: IngestSettings, request_id: UUID, *, execution: str, step: str, error: Any
) -> Failed:
    """Record that an execution failed in a step; the batch is freed, or FAILED once its budget is spent.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER.
    """

    def work(connection: Connection) -> Failed:
        batch = lock_batch(connection, request_id)
        recorded: Mapping[str, Any] = batch.error or {}
        if batch.execution != execution:
            # A repeat after a lost answer: what was decided then is still the answer.
            if recorded.get("execution") == execution and batch.execution is None:
                return Failed(batch.status is BatchStatus.FAILED, batch)
            raise not_owner(request_id, execution)
        if batch.status.is_final:
            # Only telling the subscribers failed; the outbox has an entry for that.
            return Failed(False, batch)
        values = {"batch": request_id, "error": json.dumps({"step": step, "error": error, "execution": execution})}
        batch = batch_from_row(connection.execute(_RECORD_FAILURE, values).mappings().one())
        log.warning("execution.failed", batch=str(request_id), execution=execution, step=step, failures=batch.failures)
        if batch.failures < settings.max_execution_failures:
            return Failed(False, batch)
        batch = _end_failed(connection, settings, batch)
        return Failed(batch.status.is_final, batch)

    return transact(engine, work)


def _end_failed(connection: Connection, settings: IngestSettings, batch: Batch) -> Batch:
    if batch.pending:
        end_open_images(
            connection,
            batch,
            status=ImageStatus.FAILED,
            code="BATCH_FAILED",
            detail=f"Supervision failed {batch.failures} times.",
        )
    still_open = load_batch(connection, batch.request_id).pending
    if still_open:
        # An outcome is being written this moment: the next failure report, or the deadline, ends the batch.
        return load_batch(connection, batch.request_id)
    ended = batch_from_row(connection.execute(_END_FAILED, {"batch": batch.request_id}).mappings().one())
    add_entry(
        connection,
        OutboxKind.NOTIFY,
        ended.request_id,
        generation=ended.generation,
        payload=ending_payload(ended),
        delay_s=settings.notify_grace_s,
    )
    return ended
