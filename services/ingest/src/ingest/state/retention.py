"""Deletes batches some time after they ended: each in one transaction, so that nobody ever meets half of one.

Only rows are deleted. A compressed image is content-addressed and may belong to many batches, so its life is a rule of
its bucket and not of the batch (infra/terraform/modules/buckets); reports have theirs with the reporter.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, text

from ingest.state.locks import lock_oldest_ended

# Images have no foreign key (see schema.sql); rows go with their batch.
_DELETE_IMAGES = text("DELETE FROM images WHERE batch = :request_id")
# A host that nobody else's images come from is deleted too. Should an upload be naming it at this moment, the first
# claim of that batch puts it back.
_DELETE_HOSTS = text(
    """
    WITH alone AS MATERIALIZED (
        SELECT hosts.host FROM batch_hosts AS own JOIN hosts USING (host)
        WHERE own.batch = :request_id
          AND NOT EXISTS (SELECT FROM batch_hosts AS other WHERE other.host = own.host AND other.batch <> :request_id)
        ORDER BY hosts.host FOR UPDATE OF hosts)
    DELETE FROM hosts USING alone WHERE hosts.host = alone.host
    """
)
_DELETE_BATCH = text("DELETE FROM batches WHERE request_id = :request_id")


def delete_oldest(connection: Connection, *, days: int) -> UUID | None:
    """Delete the batch that ended first of those that ended more than `days` days ago; return its id, None without any.

    COMPLETED | COMPLETED_WITH_ERRORS | CANCELLED | FAILED → nothing. Locks the batch, its images and hosts; a batch
    that somebody holds (a retry) is passed over. A repeat deletes the next one.
    """
    request_id = lock_oldest_ended(connection, days=days)
    if request_id is not None:
        for statement in (_DELETE_IMAGES, _DELETE_HOSTS, _DELETE_BATCH):
            connection.execute(statement, {"request_id": request_id})
    return request_id
