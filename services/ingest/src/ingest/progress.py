"""How far a batch is, for the execution that supervises it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.database import transact
from ingest.batches import Batch, batch_from_row, load_batch
from ingest.claims import room_for_more
from ingest.errors import not_owner
from ingest.settings import IngestSettings

# A claim also settles what is overdue, so leases that ran out count as due, and a cancelled or late batch is due whole.
_DUE = text(
    """
    SELECT
        (SELECT count(*) FROM (
            SELECT 1 FROM images
            WHERE batch = :batch AND status = 'PENDING' AND same_as IS NULL AND next_at <= now()
            LIMIT :limit) AS waiting) AS waiting,
        (SELECT count(*) FROM images
         WHERE batch = :batch AND status = 'DISPATCHED' AND lease_until <= now()) AS expired,
        (SELECT extract(epoch FROM min(moment) - now())::float FROM (
            SELECT min(next_at) AS moment FROM images
            WHERE batch = :batch AND status = 'PENDING' AND same_as IS NULL AND next_at > now()
            UNION ALL
            SELECT min(lease_until) FROM images
            WHERE batch = :batch AND status = 'DISPATCHED' AND lease_until > now()) AS moments) AS next_due_s,
        (SELECT cancel_requested OR deadline_at <= now() FROM batches WHERE request_id = :batch) AS overdue
    """
)
_HEARTBEAT = text(
    "UPDATE batches SET heartbeat_at = now() WHERE request_id = :batch AND execution = :execution RETURNING *"
)
_COUNT_LIMIT = 1000
_FULL_WINDOW_POLL_S = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """`due` images can be claimed now; `next_due_s` is the time until the next one can, None when none waits."""

    batch: Batch
    due: int
    next_due_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the form of workflows/contracts/progress_response.schema.json."""
        return {
            "request_id": str(self.batch.request_id),
            "status": self.batch.status.value,
            "counts": self.batch.counts(),
            "open": self.batch.pending,
            "due": self.due,
            "next_due_s": self.next_due_s,
        }


def read_progress(engine: Engine, settings: IngestSettings, request_id: UUID, *, execution: str) -> Progress:
    """Return the progress of a batch and take the question as a sign of life of its owner.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER.
    """

    def work(connection: Connection) -> Progress:
        values = {"batch": request_id, "execution": execution}
        row = connection.execute(_HEARTBEAT, values).mappings().first()
        if row is None:
            load_batch(connection, request_id)
            raise not_owner(request_id, execution)
        batch = batch_from_row(row)
        if batch.pending == 0:
            return Progress(batch, 0, None)
        found = connection.execute(_DUE, {"batch": request_id, "limit": _COUNT_LIMIT}).mappings().one()
        if found["overdue"]:
            return Progress(batch, batch.pending, 0.0)
        due = found["expired"]
        if found["waiting"]:
            room = room_for_more(connection, settings, request_id)
            if room == 0 and due == 0:
                # The window is full: what is due can be claimed once outcomes made room, so look again soon.
                return Progress(batch, 0, _FULL_WINDOW_POLL_S)
            due += min(found["waiting"], room)
        return Progress(batch, due, found["next_due_s"])

    return transact(engine, work)
