"""Which execution supervises a batch: taken by compare-and-set, given up, or lost by failing.

The Executions API is never asked inside a transaction; what it says is used in a later compare-and-set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from chassis.db.engine import transact
from chassis.logs import get_logger
from ingest.clients.executions import Executions
from ingest.errors import not_owner
from ingest.events.payload import add_ended_event, add_started_event
from ingest.settings import IngestSettings
from ingest.state import execution as state
from ingest.state.batch import Batch, BatchStatus, ImageStatus
from ingest.state.batch_status import begin_batch, end_batch
from ingest.state.expiry import end_open_images
from ingest.state.imports import stop_import
from ingest.state.locks import lock_batch
from ingest.supervision.finish import record_run

log = get_logger(__name__)

_START_ROUNDS = 5  # rivals that may take the batch between our question and our answer


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
        log.info("execution.replaced", request_id=str(request_id), execution=batch.execution)
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
    taken = begin_batch(connection, request_id, execution=execution, callback_url=callback_url, alive=True)
    assert taken is not None
    add_started_event(connection, batch, taken)
    return Started(True, taken)


def record_execution(engine: Engine, request_id: UUID, execution: str) -> None:
    """Note a new execution as the owner, unless it or a rival has already said so itself."""
    transact(engine, lambda connection: state.record_execution(connection, request_id, execution))


def drop_dead_execution(engine: Engine, request_id: UUID, execution: str) -> Batch | None:
    """Free a batch whose execution ended without telling us, as a failure; None when the batch has moved on."""
    return transact(engine, lambda connection: state.drop_execution(connection, request_id, execution, failed=True))


def release_batch(engine: Engine, request_id: UUID, *, execution: str) -> Batch:
    """Give a batch up for a successor; repeating it is harmless.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER.
    """

    def work(connection: Connection) -> Batch:
        batch = lock_batch(connection, request_id)
        if batch.execution not in {None, execution}:
            raise not_owner(request_id, execution)
        return state.drop_execution(connection, request_id, execution, failed=False) or batch

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
        kept = {"step": step, "error": error, "execution": execution}
        freed = state.drop_execution(connection, request_id, execution, failed=True, error=kept)
        assert freed is not None
        batch = freed
        log.warning(
            "execution.failed", request_id=str(request_id), execution=execution, step=step, failures=batch.failures
        )
        if batch.failures < settings.max_execution_failures:
            return Failed(False, batch)
        batch = _end_failed(connection, settings, batch)
        return Failed(batch.status.is_final, batch)

    recorded = transact(engine, work)
    if recorded.terminal:
        record_run(recorded.batch)
    return recorded


def _end_failed(connection: Connection, settings: IngestSettings, batch: Batch) -> Batch:
    if batch.status is BatchStatus.IMPORTING:
        batch = stop_import(connection, batch.request_id)
    if batch.pending:
        detail = f"Supervision failed {batch.failures} times."
        end = partial(end_open_images, status=ImageStatus.FAILED, code="BATCH_FAILED", detail=detail)
        page = end(connection, batch)
        while page.more:
            page = end(connection, page.batch)
        batch = page.batch
    if batch.pending:
        # An outcome is being written this moment: the next failure report, or the deadline, ends the batch.
        return batch
    ended = end_batch(connection, batch.request_id, BatchStatus.FAILED, report_uri=None)
    add_ended_event(connection, ended, grace_s=settings.notify_grace_s)
    return ended
