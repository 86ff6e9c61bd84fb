"""Which due images of a batch a claim may hand out: the first in the order of rows, and of its hosts what they bear.

Nothing is locked here. The claim holds the batch, so nobody else hands out its images; what ends one of them meanwhile
is noticed when they are leased (`state.images.dispatch_images`). So a claim locks what it hands out and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ingest.state.known_sources import KEY

_MOST_INTEGER = 2**31 - 1

# To read so many of each host as are planned, and to sort them, would be to read a page's worth of every host. So a few
# of each are looked at first: the last image of a page of these is a bound that no image of the page can be beyond.
_DUE = text(
    f"""
    WITH planned AS MATERIALIZED (
        SELECT host, starts, CASE WHEN :from_start THEN '-infinity' ELSE due_from END AS due_from, due_row
        FROM unnest(CAST(:hosts AS text[]), CAST(:starts AS integer[])) AS planned (host, starts)
        JOIN batch_hosts USING (host) WHERE batch_hosts.batch = :batch
    ), few AS MATERIALIZED (
        SELECT due.* FROM planned CROSS JOIN LATERAL (
            SELECT next_at, row_number, slot FROM images
            WHERE host = planned.host AND batch = :batch AND status = 'PENDING' AND same_as IS NULL
              AND next_at <= now() AND (next_at, row_number) >= (planned.due_from, planned.due_row)
            ORDER BY next_at, row_number, slot
            LIMIT least(planned.starts, :few)) AS due
    ), bound AS MATERIALIZED (
        SELECT next_at, row_number, slot FROM few ORDER BY next_at, row_number, slot OFFSET :limit - 1 LIMIT 1
    )
    SELECT images.*, CASE WHEN NOT batches.fresh THEN {KEY} END AS source_key FROM planned
    CROSS JOIN LATERAL (
        SELECT id, batch, host, row_number, slot, input_url, attempt, options, next_at FROM images
        WHERE host = planned.host AND batch = :batch AND status = 'PENDING' AND same_as IS NULL
          AND attempt < attempt_limit AND (next_at, row_number) >= (planned.due_from, planned.due_row)
          AND (next_at, row_number, slot) <= (coalesce((SELECT next_at FROM bound), now()),
                                              coalesce((SELECT row_number FROM bound), :most),
                                              coalesce((SELECT slot FROM bound), :most))
        ORDER BY next_at, row_number, slot
        LIMIT planned.starts
    ) AS images
    JOIN batches ON batches.request_id = images.batch
    ORDER BY images.next_at, images.row_number, images.slot
    LIMIT :limit
    """
)


def find_due(
    connection: Connection, request_id: UUID, starts: Mapping[str, int], *, limit: int, from_start: bool = False
) -> Sequence[RowMapping]:
    """Return due images of a batch that the transaction holds; `source_key` is by what known sources are found.

    Args:
        connection: the transaction.
        request_id: the batch.
        starts: by host, how many images may start.
        limit: most images.
        from_start: whether to look past what is known of where due images begin.
    """
    if not starts:
        return ()
    values: dict[str, Any] = {
        "batch": request_id,
        "hosts": list(starts),
        "starts": list(starts.values()),
        "few": 2 * -(-limit // len(starts)),
        "limit": limit,
        "most": _MOST_INTEGER,
        "from_start": from_start,
    }
    return connection.execute(_DUE, values).mappings().all()
