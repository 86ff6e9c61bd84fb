"""What went wrong in a batch: its images without an output, counted by code and host."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.auth.callers import Caller
from chassis.db.engine import transact
from chassis.limited import Limited
from ingest.state.batch import load_batch

MAX_COUNTED_FAILURES: Annotated[
    int, Limited("images", "`complete` is false", "Images without an output that `/problems` counts by code and host")
] = 100_000
MAX_LISTED_PROBLEMS: Annotated[
    int,
    Limited("problems", "those with most images", "Pairs of code and host that `/problems` lists", name="max_problems"),
] = 500

_COUNTED = text(
    """
    WITH failed AS MATERIALIZED (
        SELECT status, code, host, detail, attempt FROM images
        WHERE batch = :batch AND status IN ('FAILED', 'CANCELLED')
        ORDER BY row_number, slot LIMIT :counted)
    SELECT status, coalesce(code, status) AS code, host, count(*) AS images, min(detail) AS example,
           bool_or(NOT (host = '' AND attempt = 0 AND code LIKE 'URL!_%' ESCAPE '!')) AS can_be_retried,
           (SELECT count(*) FROM failed) AS counted
    FROM failed GROUP BY status, code, host
    ORDER BY count(*) DESC, code, host
    LIMIT :limit
    """
)


def list_problems(engine: Engine, request_id: UUID, *, caller: Caller) -> dict[str, Any]:
    """Return `problems` (those with most images first), `counted_images`, `complete` and `invalid_rows` of a batch.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, also when the caller may not see it.
    """

    def work(connection: Connection) -> dict[str, Any]:
        batch = load_batch(connection, request_id, seen_by=caller)
        values = {"batch": request_id, "counted": MAX_COUNTED_FAILURES, "limit": MAX_LISTED_PROBLEMS}
        found = connection.execute(_COUNTED, values).mappings().all()
        counted = found[0]["counted"] if found else 0
        listed = sum(row["images"] for row in found)
        return {
            "problems": [{name: value for name, value in row.items() if name != "counted"} for row in found],
            "counted_images": counted,
            "complete": listed == counted < MAX_COUNTED_FAILURES,
            "invalid_rows": batch.invalid_rows,
        }

    return transact(engine, work)
