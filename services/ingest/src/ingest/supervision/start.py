"""Gives a batch its execution: creates the task on the queue, and does what this task asks for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.google.tasks import TaskQueue
from chassis.logs import get_logger
from chassis.tracing import carrying, is_sampled
from ingest.clients.executions import Executions
from ingest.errors import ApiError
from ingest.events.payload import final_message
from ingest.failpoints import Failpoint
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, load_batch
from ingest.state.outbox import OutboxEntry, lease_entries, remove_entry
from ingest.supervision.ownership import drop_dead_execution, record_execution

log = get_logger(__name__)

_DISPATCH_DEADLINE_S = 60
FINISHED_MESSAGE = "Processed successfully"


@dataclass(frozen=True, slots=True)
class Processed:
    """A batch after `POST /process`, and what to say about it."""

    batch: Batch
    message: str


def process_batch(engine: Engine, executions: Executions, request_id: UUID) -> Processed:
    """Create an execution for a batch that has none; repeating it is harmless.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 503 EXECUTIONS_UNAVAILABLE.
    """
    batch = transact(engine, lambda connection: load_batch(connection, request_id))
    if batch.status.is_final:
        return Processed(batch, FINISHED_MESSAGE if batch.error is None else final_message(batch))
    if batch.execution is not None:
        if executions.is_live(batch.execution):
            return Processed(batch, "Processing is under way")
        drop_dead_execution(engine, request_id, batch.execution)
    create_execution(engine, executions, request_id)
    return Processed(batch, "Processing was started")


def create_execution(engine: Engine, executions: Executions, request_id: UUID) -> None:
    """Create an execution and record it as the owner.

    Raises:
        ApiError: 503 EXECUTIONS_UNAVAILABLE.
    """
    execution = executions.create(request_id)
    reach(Failpoint.EXECUTION_CREATED)
    record_execution(engine, request_id, execution)
    reach(Failpoint.EXECUTION_RECORDED)


def relay_start_now(engine: Engine, queue: TaskQueue, settings: IngestSettings, outbox_id: int | None) -> None:
    """Send a fresh outbox entry at once if possible; if not, the sweeper will. Never raises for a lost hint."""
    if outbox_id is None:
        return
    try:
        for entry in lease_entries(engine, limit=1, only=outbox_id):
            relay_start(engine, queue, settings, entry)
    except ApiError as error:
        log.warning("outbox.postponed", outbox_id=outbox_id, reason=error.reason)


def relay_start(engine: Engine, queue: TaskQueue, settings: IngestSettings, entry: OutboxEntry) -> None:
    """Create the task that starts a batch and delete the entry.

    The task's name holds the attempt: a repeat of this attempt finds it taken, a later attempt is not swallowed by
    Cloud Tasks' memory of names.

    Raises:
        ApiError: 503 TASKS_UNAVAILABLE; the entry comes back later.
    """
    seed = f"start/{entry.batch}/{entry.generation}/{entry.attempt}"
    with carrying(entry.batch, under="upload", sampled=is_sampled(entry.batch)):
        queue.create(
            settings.batches_queue,
            hashlib.sha256(seed.encode()).hexdigest(),
            url=f"{settings.ingest_internal_url.rstrip('/')}/process",
            audience=settings.ingest_internal_url,
            body={"request_id": str(entry.batch)},
            dispatch_deadline_s=_DISPATCH_DEADLINE_S,
        )
    reach(Failpoint.START_TASK_CREATED)
    remove_entry(engine, entry.id)
    reach(Failpoint.START_ENTRY_REMOVED)
