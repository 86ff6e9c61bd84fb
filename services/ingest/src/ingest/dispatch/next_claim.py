"""When a batch's next claim can bring anything: the time for which its execution may sleep."""

from __future__ import annotations

from sqlalchemy import Connection, text

from ingest.dispatch.pace import (
    CLAIM_BEFORE_S,
    CLAIM_EVERY_S,
    LOOK_AHEAD_S,
    RISING_BELOW,
    RISING_CLAIM_EVERY_S,
    STEADY_LOOK_AHEAD_S,
)
from ingest.dispatch.window import COSTED, REUSED_COST_S
from ingest.state.batch import Batch

LONGEST_WAIT_S = 60.0
"""Seconds after which an execution looks, also when nothing is to be expected."""

_FULL_PAGE = 90
"""Images of a page that is full, or nearly."""

# A claim also ends what is overdue: leases that ran out count as due, and a cancelled or late batch is due whole.
_BATCH = text(
    """
    SELECT extract(epoch FROM min(lease_until) - now())::float AS lease_s,
           (SELECT cancel_requested OR deadline_at <= now() FROM batches WHERE request_id = :batch) AS overdue,
           (SELECT images_per_s FROM batches WHERE request_id = :batch) AS images_per_s,
           (SELECT (costed < :costed OR image_cost_s < :reused_s) AND started_at > now() - make_interval(secs => :new_s)
            FROM batches WHERE request_id = :batch) AS is_new
    FROM images WHERE batch = :batch AND status = 'DISPATCHED'
    """
)
# A host is looked at again shortly before its last planned start; one that is shut, when an image may try it; one that
# is tried faster and faster, when the answers to its present sample may have come. Should they not come, that says that
# something else holds them up: then there is no hurry.
_HOSTS = text(
    """
    SELECT min(CASE WHEN learned_s > -:every_s THEN least(wait_s, greatest(due_s, learned_s, :rising_every_s))
                    ELSE wait_s END)
    FROM batch_hosts JOIN hosts USING (host)
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM min(next_at) - now())::float AS due_s FROM images
        WHERE images.host = hosts.host AND images.batch = batch_hosts.batch
          AND images.status = 'PENDING' AND images.same_as IS NULL
          AND (images.next_at, images.row_number) >= (batch_hosts.due_from, batch_hosts.due_row)) AS first
    CROSS JOIN LATERAL (
        SELECT greatest(:every_s, due_s,
                        extract(epoch FROM blocked_until - now())
                            - CASE WHEN ceiling IS NULL THEN :ahead_s ELSE :steady_s END,
                        extract(epoch FROM next_start_at - now()) - :before_s)::float AS wait_s,
               CASE WHEN ceiling IS NULL AND rate < :rising_below AND opened_at IS NULL
                    THEN extract(epoch FROM judged_from - now()) + greatest(4 / rate, 0.25)
                         + coalesce(exp(floor_log_s), :unknown_s) + :reported_s END::float AS learned_s) AS waits
    WHERE batch_hosts.batch = :batch AND due_s IS NOT NULL
    """
)
_NEW_S = 2.0
"""Seconds for which a batch is looked at often whose images cost next to nothing, or nobody knows what.

After that it is known how many of them end in a second (`state.batch_status.measure_batch`)."""

UNKNOWN_FLOOR_S, REPORTED_S = 0.2, 0.2
"""Seconds to the first byte as long as they are unknown, and from it to the recorded outcome."""


def next_claim_s(connection: Connection, batch: Batch, *, is_cut: bool, refill_s: float | None) -> float:
    """Return seconds until the next claim of a batch; 0.0 when there is more to hand out now.

    Args:
        connection: the transaction of a claim, at its end.
        batch: as the claim left it.
        is_cut: the page was full, and more can be planned now.
        refill_s: seconds in which enough images may have ended for more to be handed out; None: none has to.
    """
    if batch.pending == 0 or batch.status.is_final:
        return LONGEST_WAIT_S
    if is_cut:
        return 0.0
    values = {"batch": batch.request_id, "costed": COSTED, "reused_s": REUSED_COST_S, "new_s": _NEW_S}
    found = connection.execute(_BATCH, values).mappings().one()
    if found["overdue"]:
        return CLAIM_EVERY_S
    # A second, or what a page of a faster batch lasts for: so pages are full, and few.
    every_s = min(CLAIM_EVERY_S, max(RISING_CLAIM_EVERY_S, _FULL_PAGE / max(1.0, found["images_per_s"])))
    values = {
        "batch": batch.request_id,
        "ahead_s": LOOK_AHEAD_S,
        "steady_s": STEADY_LOOK_AHEAD_S,
        "before_s": CLAIM_BEFORE_S,
        "every_s": every_s,
        "rising_every_s": RISING_CLAIM_EVERY_S,
        "rising_below": RISING_BELOW,
        "unknown_s": UNKNOWN_FLOOR_S,
        "reported_s": REPORTED_S,
    }
    due_s = connection.execute(_HOSTS, values).scalar_one()
    lease_s = LONGEST_WAIT_S if found["lease_s"] is None else max(CLAIM_EVERY_S, found["lease_s"])
    wait_s = min(LONGEST_WAIT_S, lease_s, LONGEST_WAIT_S if due_s is None else due_s)
    if refill_s is None:
        return wait_s
    # The first few soon tell what one costs, and reused ones end soon; then there is more to hand out.
    if found["is_new"]:
        return min(RISING_CLAIM_EVERY_S, wait_s)
    return min(LONGEST_WAIT_S, lease_s, max(RISING_CLAIM_EVERY_S, refill_s))
