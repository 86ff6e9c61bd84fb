"""Deletes reports, deliveries and deleted endpoints some time after their end, a page of each in a sweep.

Only rows are deleted: the objects that a report names are deleted by the rule of their bucket, a day later
(infra/terraform), so that no link leads to a missing object.
"""

from __future__ import annotations

from chassis.db.engine import transact
from reporter.dependencies import Dependencies
from reporter.state.expired import delete_expired_deliveries, delete_expired_endpoints, delete_expired_reports

PAGE_SIZE = 500
"""Most rows of a kind that one sweep deletes; at one sweep a minute 720,000 a day."""

_KINDS = {
    "reports_expired": delete_expired_reports,
    "deliveries_expired": delete_expired_deliveries,
    "endpoints_expired": delete_expired_endpoints,
}


def delete_expired(dependencies: Dependencies) -> dict[str, int]:
    """Delete one page of each kind; return e.g. `{"reports_expired": 2, "deliveries_expired": 0, ...}`.

    Raises:
        ApiError: 503 when the database cannot be used.
    """
    days = dependencies.settings.retention_days
    if days == 0:
        return dict.fromkeys(_KINDS, 0)
    return transact(
        dependencies.engine, lambda c: {name: delete(c, days=days, limit=PAGE_SIZE) for name, delete in _KINDS.items()}
    )
