"""Deletes batches some time after they ended, a page of rows in a transaction.

With its first page a batch is gone for everybody: what is not deleted yet, nobody can meet. Only rows are deleted. A
compressed image is content-addressed and may belong to many batches, so its life is a rule of its bucket and not of the
batch (infra/terraform/modules/buckets); reports have theirs with the reporter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from sqlalchemy import Connection, text

from chassis.limited import Limited
from ingest.state.locks import lock_oldest_ended

MAX_DELETED_ROWS: Annotated[
    int,
    Limited("rows", "the next transaction goes on", "Rows of a batch that one transaction deletes", internal=True),
] = 2000
"""The same of its hosts."""

_PAGE = text(
    """
    SELECT coalesce(deleted_row, 0) AS after,
           (SELECT max(row_number) FROM rows WHERE rows.batch = request_id) AS last_row
    FROM batches WHERE request_id = :request_id
    """
)
_DELETE_IMAGES = text("DELETE FROM images WHERE batch = :request_id AND row_number > :after AND row_number <= :up_to")
_DELETE_ROWS = text("DELETE FROM rows WHERE batch = :request_id AND row_number > :after AND row_number <= :up_to")
_NOTE_DELETED_ROW = text("UPDATE batches SET deleted_row = :up_to WHERE request_id = :request_id")
# A host that nobody else's images come from is deleted too. Should an upload be naming it at this moment, the first
# claim of that batch puts it back.
_DELETE_HOSTS = text(
    """
    WITH page AS MATERIALIZED (
        SELECT host FROM batch_hosts WHERE batch = :request_id ORDER BY host LIMIT :limit
    ), alone AS MATERIALIZED (
        SELECT hosts.host FROM page JOIN hosts USING (host)
        WHERE NOT EXISTS (SELECT FROM batch_hosts AS other
                          WHERE other.host = page.host AND other.batch <> :request_id)
        ORDER BY hosts.host FOR UPDATE OF hosts
    ), gone AS (
        DELETE FROM hosts USING alone WHERE hosts.host = alone.host)
    DELETE FROM batch_hosts USING page WHERE batch_hosts.batch = :request_id AND batch_hosts.host = page.host
    """
)
_DELETE_BATCH = text("DELETE FROM batches WHERE request_id = :request_id")


@dataclass(frozen=True, slots=True)
class Deleted:
    """A batch of which a page was deleted; `whole` when that was the last one."""

    request_id: UUID
    whole: bool


def delete_page(connection: Connection, *, days: int) -> Deleted | None:
    """Delete a page of the batch that ended first of those that ended more than `days` days ago; None without any.

    COMPLETED | COMPLETED_WITH_ERRORS | CANCELLED | FAILED → nothing. Locks the batch, its images and hosts; a batch
    that somebody holds (a retry, another sweep) is passed over. A repeat goes on with its next page, or the next batch.
    """
    request_id = lock_oldest_ended(connection, days=days)
    if request_id is None:
        return None
    page = connection.execute(_PAGE, {"request_id": request_id}).one()
    window = {"request_id": request_id, "after": page.after, "up_to": page.after + MAX_DELETED_ROWS}
    if page.last_row is not None:
        connection.execute(_DELETE_IMAGES, window)
        connection.execute(_DELETE_ROWS, window)
        if page.last_row > window["up_to"]:
            connection.execute(_NOTE_DELETED_ROW, window)
            return Deleted(request_id, whole=False)
    values = {"request_id": request_id, "limit": MAX_DELETED_ROWS}
    if connection.execute(_DELETE_HOSTS, values).rowcount == MAX_DELETED_ROWS:
        connection.execute(_NOTE_DELETED_ROW, window)
        return Deleted(request_id, whole=False)
    connection.execute(_DELETE_BATCH, {"request_id": request_id})
    return Deleted(request_id, whole=True)
