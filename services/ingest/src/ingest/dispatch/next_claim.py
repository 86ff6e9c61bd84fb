"""When a batch's next claim can bring anything: the time for which its execution may sleep."""

from __future__ import annotations

from sqlalchemy import Connection, text

from ingest.dispatch.pace import CLAIM_EVERY_S, LOOK_AHEAD_S, STEADY_CLAIM_EVERY_S, STEADY_LOOK_AHEAD_S
from ingest.state.batch import Batch

LONGEST_WAIT_S = 60.0
"""Seconds after which an execution looks, also when nothing is to be expected."""

# A claim also ends what is overdue: leases that ran out count as due, and a cancelled or late batch is due whole.
_LEASES = text(
    """
    SELECT extract(epoch FROM min(lease_until) - now())::float AS lease_s,
           (SELECT cancel_requested OR deadline_at <= now() FROM batches WHERE request_id = :batch) AS overdue
    FROM images WHERE batch = :batch AND status = 'DISPATCHED'
    """
)
# A host is looked at again when most of its look-ahead is free; one that is shut, when an image may try it.
_HOSTS = text(
    """
    SELECT min(greatest(
        extract(epoch FROM first.due_at - now()),
        extract(epoch FROM hosts.blocked_until - now()) - CASE WHEN ceiling IS NULL THEN :ahead_s ELSE :steady_s END,
        extract(epoch FROM hosts.next_start_at - now())
            - CASE WHEN ceiling IS NULL THEN :ahead_s - :every_s ELSE :steady_s - :steady_every_s END)::float)
    FROM batch_hosts JOIN hosts USING (host)
    CROSS JOIN LATERAL (
        SELECT min(next_at) AS due_at FROM images
        WHERE images.host = hosts.host AND images.batch = batch_hosts.batch
          AND images.status = 'PENDING' AND images.same_as IS NULL) AS first
    WHERE batch_hosts.batch = :batch AND first.due_at IS NOT NULL
    """
)


def next_claim_s(connection: Connection, batch: Batch, *, is_cut: bool, window_is_full: bool) -> float:
    """Return seconds until the next claim of a batch; 0.0 when there is more to hand out now.

    Args:
        connection: the transaction of a claim, at its end.
        batch: as the claim left it.
        is_cut: the page was full, and more can be planned now.
        window_is_full: so many images are in flight that outcomes must come first.
    """
    if batch.pending == 0 or batch.status.is_final:
        return LONGEST_WAIT_S
    if is_cut:
        return 0.0
    leases = connection.execute(_LEASES, {"batch": batch.request_id}).mappings().one()
    if leases["overdue"]:
        return CLAIM_EVERY_S
    values = {
        "batch": batch.request_id,
        "ahead_s": LOOK_AHEAD_S,
        "every_s": CLAIM_EVERY_S,
        "steady_s": STEADY_LOOK_AHEAD_S,
        "steady_every_s": STEADY_CLAIM_EVERY_S,
    }
    due_s = connection.execute(_HOSTS, values).scalar_one()
    moments = [moment for moment in (leases["lease_s"], None if window_is_full else due_s) if moment is not None]
    if window_is_full:
        moments.append(CLAIM_EVERY_S)
    return min(LONGEST_WAIT_S, max(CLAIM_EVERY_S, min(moments, default=LONGEST_WAIT_S)))
