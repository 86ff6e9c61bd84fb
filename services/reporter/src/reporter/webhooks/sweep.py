"""Finds deliveries that no task will move: those whose worker vanished, and those whose task was lost."""

from __future__ import annotations

from chassis.db.engine import transact
from reporter.clients.task_queue import give_hints
from reporter.dependencies import Dependencies
from reporter.state.attempts import abandoned_attempts
from reporter.state.deliveries import take_unhinted
from reporter.webhooks.attempt import record_worker_lost

SWEEP_LIMIT = 500
"""Most deliveries of a kind that one sweep moves."""


def sweep_deliveries(dependencies: Dependencies) -> dict[str, int]:
    """Move on one page of each kind; return `{"expired_leases": 0, "lost_deliveries": 2}`."""
    expired = transact(dependencies.engine, lambda c: abandoned_attempts(c, limit=SWEEP_LIMIT))
    for left in expired:
        record_worker_lost(dependencies, left.hint, earlier_attempts=left.earlier_attempts)
    grace_s = dependencies.settings.webhook_hint_grace_s
    lost = transact(dependencies.engine, lambda c: take_unhinted(c, hint_grace_s=grace_s, limit=SWEEP_LIMIT))
    give_hints(dependencies.tasks, lost)
    return {"expired_leases": len(expired), "lost_deliveries": len(lost)}
