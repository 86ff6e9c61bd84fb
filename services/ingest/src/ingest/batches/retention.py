"""Forgets batches some time after they ended: each in one transaction, so that nobody ever meets half of one.

Only rows are deleted. A compressed image is content-addressed and may belong to many batches, so its life is a rule of
its bucket and not of the batch (infra/terraform/modules/buckets); reports have theirs with the reporter.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, text

# An announcement that still waits keeps its batch: the subscriber has not been told.
_EXPIRED = text(
    """
    SELECT request_id FROM batches
    WHERE finished_at <= now() - make_interval(days => :days)
      AND NOT EXISTS (SELECT FROM outbox WHERE outbox.batch = batches.request_id)
    ORDER BY finished_at LIMIT 1
    FOR UPDATE SKIP LOCKED
    """
)
# Images have no foreign key (see migration 0001); rows go with their batch.
_FORGET_IMAGES = text("DELETE FROM images WHERE batch = :request_id")
# A host that nobody else's images come from is forgotten too. Should an upload be naming it at this moment, the first
# claim of that batch puts it back.
_FORGET_HOSTS = text(
    """
    DELETE FROM hosts USING batch_hosts AS own
    WHERE own.batch = :request_id AND hosts.host = own.host
      AND NOT EXISTS (SELECT FROM batch_hosts AS other WHERE other.host = own.host AND other.batch <> :request_id)
    """
)
_FORGET_BATCH = text("DELETE FROM batches WHERE request_id = :request_id")


def forget_oldest(connection: Connection, *, days: int) -> UUID | None:
    """Delete the batch that ended first of those that ended more than `days` days ago; return its id, None without any.

    A batch that somebody holds (a retry) is passed over. Repeating it is harmless: it deletes the next one.
    """
    request_id: UUID | None = connection.execute(_EXPIRED, {"days": days}).scalar_one_or_none()
    if request_id is not None:
        connection.execute(_FORGET_IMAGES, {"request_id": request_id})
        connection.execute(_FORGET_HOSTS, {"request_id": request_id})
        connection.execute(_FORGET_BATCH, {"request_id": request_id})
    return request_id
