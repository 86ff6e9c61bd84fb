"""Which execution of the workflow owns a batch: recorded, heard of, and given up by compare-and-set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from ingest.state.batch import Batch, batch_from_row

_RECORD = text(
    """
    UPDATE batches SET execution = :execution, heartbeat_at = now()
    WHERE request_id = :batch AND execution IS NULL AND finished_at IS NULL
    """
)
_HEARTBEAT = text(
    "UPDATE batches SET heartbeat_at = now() WHERE request_id = :batch AND execution = :execution RETURNING *"
)
_DROP = text(
    """
    UPDATE batches SET execution = NULL, callback_url = NULL, heartbeat_at = now(), failures = failures + :failures,
        error = coalesce(CAST(:error AS jsonb) || jsonb_build_object('at', now()), error)
    WHERE request_id = :batch AND execution = :execution AND finished_at IS NULL
    RETURNING *
    """
)


def record_execution(connection: Connection, request_id: UUID, execution: str) -> bool:
    """Note a new execution as the owner; false when it, or a rival, has said so itself before.

    no owner → this owner, of a batch that has not ended. Locks the batch.
    """
    return bool(connection.execute(_RECORD, {"batch": request_id, "execution": execution}).rowcount)


def hear_from_execution(connection: Connection, request_id: UUID, execution: str) -> Batch | None:
    """Take a question of the owner as a sign of life; None when the execution does not own the batch.

    owner → the same owner, heard of now. Locks the batch.
    """
    row = connection.execute(_HEARTBEAT, {"batch": request_id, "execution": execution}).mappings().first()
    return None if row is None else batch_from_row(row)


def drop_execution(
    connection: Connection,
    request_id: UUID,
    execution: str,
    *,
    failed: bool,
    error: Mapping[str, Any] | None = None,
) -> Batch | None:
    """Free a batch of its owner; None when another one owns it, nobody does, or it has ended.

    this owner → no owner. Locks the batch.

    Args:
        connection: the transaction.
        request_id: the batch.
        execution: the owner.
        failed: whether it counts as a failure of supervision.
        error: what is kept of the failure; a moment is added.
    """
    values = {
        "batch": request_id,
        "execution": execution,
        "failures": int(failed),
        "error": None if error is None else json.dumps(error),
    }
    row = connection.execute(_DROP, values).mappings().first()
    return None if row is None else batch_from_row(row)
