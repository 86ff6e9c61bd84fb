"""Finds work that nobody is doing and does it: every minute, bounded, and safe when two sweeps run at once.

No step trusts a hint; each reads the rows and changes them by compare-and-set. A sweep that dies, or meets a service
that is down, leaves the rest for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from sqlalchemy import Connection, text

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.logs import get_logger
from ingest.dependencies import Dependencies
from ingest.errors import ApiError, Reason
from ingest.events.relay import relay_event
from ingest.failpoints import Failpoint
from ingest.state.batch import Batch, batch_from_row, load_batch
from ingest.state.batch_status import Ended, seal_forgotten
from ingest.state.expiry import end_overdue
from ingest.state.idempotency import forget_expired_keys
from ingest.state.known_sources import forget_sources
from ingest.state.locks import lock_batch
from ingest.state.outbox import OutboxEntry, OutboxKind, lease_entries, remove_entry
from ingest.state.retention import delete_page
from ingest.supervision.ownership import drop_dead_execution
from ingest.supervision.start import create_execution, relay_start
from ingest.supervision.without_workflow import supervise

log = get_logger(__name__)

_MAX_OUTBOX = 100
_MAX_BATCHES = 50
_MAX_KEYS = 1000
_MAX_SOURCES = 5000
_MAX_DELETED = 50
_BUDGET_S = 40.0
"""Seconds after which a sweep begins nothing new: Cloud Scheduler waits for 60."""

_OVERDUE = text(
    """
    SELECT request_id FROM batches
    WHERE finished_at IS NULL AND (pending > 0 OR status = 'IMPORTING')
      AND (deadline_at <= now() OR cancel_requested
           OR EXISTS (SELECT 1 FROM images WHERE images.batch = batches.request_id
                      AND images.status = 'DISPATCHED' AND images.lease_until <= now()))
    ORDER BY heartbeat_at LIMIT :limit
    """
)
# In random order, so that batches that stay silent cannot keep others from their turn.
_SILENT = text(
    """
    SELECT * FROM batches
    WHERE finished_at IS NULL
      AND heartbeat_at <= now() - make_interval(secs => CASE WHEN execution IS NULL THEN :grace_s ELSE :timeout_s END)
    ORDER BY random() LIMIT :limit
    """
)


class Sweep:
    """One sweep; `counts` says what was found due, by name."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._engine = dependencies.engine
        self._ends_at = dependencies.clock.monotonic() + _BUDGET_S
        self._executions_down = False
        self.counts = dict.fromkeys(
            (
                "started",
                "told",
                "notified",
                "overdue",
                "sealed",
                "restarted",
                "supervised",
                "keys_expired",
                "sources_forgotten",
                "batches_expired",
                "postponed",
            ),
            0,
        )

    def run(self) -> dict[str, int]:
        """Do every step; trouble with one batch does not keep the others waiting.

        Raises:
            ApiError: 503 when the database is away.
        """
        self._end_overdue()
        self.counts["sealed"] = transact(self._engine, partial(seal_forgotten, limit=_MAX_BATCHES))
        self._revive_silent()
        self._relay_outbox()
        self.counts["keys_expired"] = transact(self._engine, partial(forget_expired_keys, limit=_MAX_KEYS))
        self._forget_sources()
        self._delete_old()
        log.info("sweep.finished", **self.counts)
        return self.counts

    def _end_overdue(self) -> None:
        for request_id in self._ids():
            ended = transact(self._engine, partial(_end, request_id))
            while ended.more and self._dependencies.clock.monotonic() < self._ends_at:
                ended = transact(self._engine, partial(_end, request_id))
            self.counts["overdue"] += 1
            if ended.sealed:
                self._dependencies.callbacks.batch_sealed(ended.batch)

    def _ids(self) -> Sequence[UUID]:
        return transact(
            self._engine, lambda connection: connection.execute(_OVERDUE, {"limit": _MAX_BATCHES}).scalars().all()
        )

    def _revive_silent(self) -> None:
        settings = self._dependencies.settings
        values = {
            "grace_s": settings.start_grace_s,
            "timeout_s": settings.heartbeat_timeout_s,
            "limit": _MAX_BATCHES,
        }

        def find(connection: Connection) -> list[Batch]:
            return [batch_from_row(row) for row in connection.execute(_SILENT, values).mappings()]

        for batch in transact(self._engine, find):
            self._guarded("batch.revival_postponed", batch.request_id, partial(self._revive, batch))

    def _revive(self, batch: Batch) -> None:
        if self._executions_down or not self._has_execution(batch):
            # No execution can be had, or each one ends without telling us: the sweeper does the work of the workflow.
            supervise(self._dependencies, batch.request_id)
            self.counts["supervised"] += 1

    def _has_execution(self, batch: Batch) -> bool:
        """Return whether an execution lives or could be created."""
        executions = self._dependencies.executions
        try:
            if batch.execution is not None:
                if executions.is_live(batch.execution):
                    return True
                freed = drop_dead_execution(self._engine, batch.request_id, batch.execution)
                if freed is None:
                    return True
                batch = freed
            if batch.failures >= self._dependencies.settings.max_execution_failures:
                return False
            create_execution(self._engine, executions, batch.request_id)
            self.counts["restarted"] += 1
        except ApiError as error:
            if error.reason != Reason.EXECUTIONS_UNAVAILABLE:
                raise
            # Asked once, not once for every batch: each question may take its whole time-out.
            self._executions_down = True
            log.warning("execution.unavailable", request_id=str(batch.request_id))
            return False
        return True

    def _relay_outbox(self) -> None:
        entries = lease_entries(self._engine, limit=_MAX_OUTBOX)
        # Events may wait for a slow reporter; batches should not wait for events.
        for entry in sorted(entries, key=lambda entry: entry.kind is not OutboxKind.START):
            self._guarded("outbox.postponed", entry.batch, partial(self._relay, entry))

    def _relay(self, entry: OutboxEntry) -> None:
        match entry.kind:
            case OutboxKind.START:
                relay_start(self._engine, self._dependencies.tasks, self._dependencies.settings, entry)
                self.counts["started"] += 1
            case OutboxKind.ACCEPTED | OutboxKind.STARTED:
                relay_event(self._engine, self._dependencies.reporter, entry)
                self.counts["told"] += 1
            case OutboxKind.NOTIFY:
                self._notify(entry)
                self.counts["notified"] += 1

    def _notify(self, entry: OutboxEntry) -> None:
        batch = transact(self._engine, lambda connection: load_batch(connection, entry.batch))
        download_url = None
        # A report of an earlier run must not be told of for a later one, and the link must be a fresh one.
        if batch.generation == entry.generation and batch.report_uri is not None:
            download_url = self._dependencies.reporter.publish(entry.batch).download_url
        self._dependencies.reporter.notify(entry.payload, download_url)
        reach(Failpoint.SWEEP_NOTIFIED)
        remove_entry(self._engine, entry.id)

    def _forget_sources(self) -> None:
        # As many pages as there is time for: a day of many new URLs is to be forgotten within a day.
        forget = partial(forget_sources, days=self._dependencies.settings.reuse_days, limit=_MAX_SOURCES)
        forgotten = _MAX_SOURCES
        while forgotten == _MAX_SOURCES and self._dependencies.clock.monotonic() < self._ends_at:
            forgotten = transact(self._engine, forget)
            self.counts["sources_forgotten"] += forgotten

    def _delete_old(self) -> None:
        """Delete what is past its retention: the least urgent step, so the last, within what is left of the time."""
        days = self._dependencies.settings.retention_days
        if days == 0:
            return
        delete = partial(delete_page, days=days)
        while self.counts["batches_expired"] < _MAX_DELETED and self._dependencies.clock.monotonic() < self._ends_at:
            deleted = transact(self._engine, delete)
            if deleted is None:
                return
            if deleted.whole:
                self.counts["batches_expired"] += 1
                log.info("batch.expired", request_id=str(deleted.request_id))

    def _guarded(self, event: str, request_id: UUID, work: Callable[[], None]) -> None:
        if self._dependencies.clock.monotonic() >= self._ends_at:
            self.counts["postponed"] += 1
            return
        try:
            work()
        except ApiError as error:
            self.counts["postponed"] += 1
            log.warning(event, request_id=str(request_id), reason=error.reason)


def _end(request_id: UUID, connection: Connection) -> Ended:
    return end_overdue(connection, lock_batch(connection, request_id))
