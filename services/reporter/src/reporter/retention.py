"""Forgets reports and deliveries some time after they ended, in bounded pages.

Only rows are deleted: the objects that a report names go by the rule of their bucket, which keeps them a day longer
(infra/terraform/envs), so that no link leads into nothing. A delivery that still waits for an attempt is kept, and a
deleted endpoint as long as it has deliveries.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from chassis.clock import Clock
from chassis.db.engine import transact
from reporter.state.tables import deliveries, endpoint_secrets, endpoints, page_of, reports

PAGE_SIZE = 500
"""Most rows of a kind that one sweep deletes; at one sweep a minute 720,000 a day."""


class Retention:
    """Deletes what is older than `days`; 0 keeps everything."""

    def __init__(self, *, engine: Engine, clock: Clock, days: int) -> None:
        self._engine = engine
        self._clock = clock
        self._days = days

    def sweep(self) -> dict[str, int]:
        """Delete one page of each kind; return e.g. `{"reports_expired": 2, "deliveries_expired": 0, ...}`.

        Raises:
            ApiError: 503 when the database is away.
        """
        if self._days == 0:
            return dict.fromkeys(("reports_expired", "deliveries_expired", "endpoints_expired"), 0)
        before = self._clock.now() - timedelta(days=self._days)
        return transact(self._engine, lambda connection: _forget(connection, before))


def _forget(connection: Connection, before: datetime) -> dict[str, int]:
    old_reports = sa.select(reports.c.request_id, reports.c.generation).where(reports.c.create_time <= before)
    old_deliveries = sa.select(deliveries.c.id).where(deliveries.c.end_time <= before)
    unused = ~sa.exists().where(deliveries.c.endpoint_id == endpoints.c.id)
    old_endpoints = sa.select(endpoints.c.id).where(endpoints.c.delete_time <= before, unused)
    key = sa.tuple_(reports.c.request_id, reports.c.generation)
    found = {
        "reports_expired": connection.execute(
            sa.delete(reports).where(key.in_(page_of(old_reports, limit=PAGE_SIZE)))
        ).rowcount,
        "deliveries_expired": connection.execute(
            sa.delete(deliveries).where(deliveries.c.id.in_(page_of(old_deliveries, limit=PAGE_SIZE)))
        ).rowcount,
    }
    gone = connection.execute(page_of(old_endpoints, limit=PAGE_SIZE)).scalars().all()
    connection.execute(sa.delete(endpoint_secrets).where(endpoint_secrets.c.endpoint_id.in_(gone)))
    connection.execute(sa.delete(endpoints).where(endpoints.c.id.in_(gone)))
    return {**found, "endpoints_expired": len(gone)}
