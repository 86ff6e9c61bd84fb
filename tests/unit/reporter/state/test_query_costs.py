"""Every statement reads as many pages in a table of 40,000 fresh rows as in one of 1,000: no statistics are needed.

A page in shared buffers is 8 kB. What is counted is what the server reads for the very statements that the service
sends, on tables that nobody has analysed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import psycopg2
import pytest
from sqlalchemy import Connection, Engine, event, text

from chassis.auth.callers import SYSTEM, Caller
from chassis.db.engine import new_engine
from chassis.http.page_tokens import Position
from localcloud.stack.postgres import Postgres
from reporter.migrate import upgrade
from reporter.state.attempts import Attempt, abandoned_attempts, record_try_again
from reporter.state.deliveries import (
    DeliveryState,
    EndReason,
    Event,
    Target,
    add_deliveries,
    end_waiting_deliveries,
    lease,
    standing,
    take_unhinted,
)
from reporter.state.delivery_log import deliveries_of, deliveries_to, find_delivery, newest_deliveries
from reporter.state.endpoints import count_endpoints, endpoint_of_delivery, list_endpoints, subscribed_endpoints
from reporter.state.expired import delete_expired_deliveries, delete_expired_endpoints, delete_expired_reports
from reporter.state.redeliveries import redeliver, redeliver_since
from reporter.state.reports import find_report, latest_report

SMALL, LARGE = 1_000, 40_000
MAX_BUFFERS = 120

# One owner has everything but a few rows; what is asked for is rare: another owner, an old end, a state, a lease.
_FILL = """
    ALTER TABLE reports SET (autovacuum_enabled = off);
    ALTER TABLE webhook_endpoints SET (autovacuum_enabled = off);
    ALTER TABLE deliveries SET (autovacuum_enabled = off);
    ALTER TABLE delivery_attempts SET (autovacuum_enabled = off);
    INSERT INTO reports SELECT gen_random_uuid(), 1, 'big', 's', 'o', 'f', 'r', 1, 1, now() - make_interval(secs => n)
    FROM generate_series(1, %(rows)s) n;
    INSERT INTO reports VALUES ('00000000-0000-4000-8000-000000000001', 1, 'rare', 's', 'o', 'f', 'r', 1, 1, now()),
        ('00000000-0000-4000-8000-000000000002', 1, NULL, 's', 'o', 'f', 'r', 1, 1, now() - interval '1 year');
    INSERT INTO webhook_endpoints (id, owner, url, description, create_time, update_time)
    SELECT gen_random_uuid(), 'owner' || n, 'https://a.test/', '', now(), now() FROM generate_series(1, %(rows)s) n;
    INSERT INTO webhook_endpoints (id, owner, url, description, create_time, update_time)
    VALUES ('00000000-0000-4000-8000-00000000000e', 'rare', 'https://a.test/', '', now(), now()),
           ('00000000-0000-4000-8000-00000000000f', NULL, 'https://a.test/', '', now(), now());
    INSERT INTO deliveries (id, request_id, generation, type, url, url_sha256, message_id, body, state, endpoint_id,
                            owner, attempts, end_time, create_time)
    SELECT gen_random_uuid(), gen_random_uuid(), 1, 'batch.completed', 'https://a.test/', 'd', 'm' || n, 'x',
           'DELIVERED', '00000000-0000-4000-8000-00000000000e', 'big', 1, now(), now() - make_interval(secs => n)
    FROM generate_series(1, %(rows)s) n;
    INSERT INTO delivery_attempts SELECT id, 1, now(), 5, 200, NULL, '' FROM deliveries;
    INSERT INTO deliveries (id, request_id, generation, type, url, url_sha256, message_id, body, state, endpoint_id,
                            owner, next_attempt_time, sweep_time, create_time)
    SELECT gen_random_uuid(), gen_random_uuid(), 1, 'batch.completed', 'https://a.test/', 'd', 'p' || n, 'x',
           'PENDING', NULL, 'big', now() + interval '1 hour', now() + interval '1 hour', now()
    FROM generate_series(1, %(rows)s) n;
    INSERT INTO deliveries (id, request_id, generation, type, url, url_sha256, message_id, body, state, endpoint_id,
                            owner, next_attempt_time, sweep_time, create_time)
    VALUES ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-000000000001', 1, 'batch.completed',
            'https://a.test/', 'd', 'rare', 'x', 'PENDING', '00000000-0000-4000-8000-00000000000e', 'rare', now(),
            now(), now());
"""
REPORT = UUID("00000000-0000-4000-8000-000000000001")
DELIVERY = UUID("00000000-0000-4000-8000-00000000000d")
ENDPOINT = UUID("00000000-0000-4000-8000-00000000000e")
RARE, NOBODY = Caller("rare"), Caller(None)

Work = Callable[[Connection], Any]


def _lease_and_record(connection: Connection) -> None:
    assert lease(connection, DELIVERY, attempt=1, url=None, lease_s=60) is not None
    assert record_try_again(connection, Attempt(DELIVERY, 1, status_code=500), delay_s=5, hint_grace_s=120)


def _first_page_then_second(connection: Connection, state: str | None) -> None:
    page = deliveries_to(connection, ENDPOINT, state=state, before=None, limit=20)
    last = Position(page[-1].created_at, page[-1].id)
    deliveries_to(connection, ENDPOINT, state=state, before=last, limit=20)


STATEMENTS: dict[str, Work] = {
    "report of a batch": lambda c: find_report(c, REPORT, seen_by=RARE),
    "latest report of an owner": lambda c: latest_report(c, owner="rare"),
    "latest report without an owner": lambda c: latest_report(c, owner=None),
    "latest report of an owner with many": lambda c: latest_report(c, owner="big"),
    "latest report of an owner with none": lambda c: latest_report(c, owner="none"),
    "endpoints of an owner": lambda c: list_endpoints(c, caller=RARE, after=None, limit=50),
    "endpoints without an owner": lambda c: list_endpoints(c, caller=NOBODY, after=None, limit=50),
    "subscribed endpoints": lambda c: subscribed_endpoints(c, owner="rare", event_type="batch.failed"),
    "number of endpoints": lambda c: count_endpoints(c, owner="rare"),
    "endpoint of a delivery": lambda c: endpoint_of_delivery(c, DELIVERY),
    "deliveries of a batch": lambda c: deliveries_of(c, REPORT, caller=RARE),
    "newest deliveries of an owner with few": lambda c: newest_deliveries(c, caller=RARE, before=None, limit=20),
    "newest deliveries without an owner": lambda c: newest_deliveries(c, caller=NOBODY, before=None, limit=20),
    "newest deliveries of everybody": lambda c: newest_deliveries(c, caller=SYSTEM, before=None, limit=20),
    "one delivery": lambda c: find_delivery(c, DELIVERY, caller=RARE),
    "state of a delivery": lambda c: standing(c, DELIVERY),
    "deliveries to an endpoint": lambda c: _first_page_then_second(c, None),
    "deliveries to an endpoint in a state": lambda c: _first_page_then_second(c, "PENDING"),
    "no delivery to an endpoint in a state": lambda c: deliveries_to(
        c, ENDPOINT, state="FAILED", before=None, limit=20
    ),
    "new deliveries": lambda c: add_deliveries(
        c, Event(REPORT, 2, "batch.failed", b"x"), [Target("https://a.test/", ENDPOINT)], hint_grace_s=120
    ),
    "an attempt": _lease_and_record,
    "a redelivery": lambda c: redeliver(c, DELIVERY, hint_grace_s=120),
    "a redelivery of what failed": lambda c: redeliver_since(
        c,
        ENDPOINT,
        since=c.execute(text("SELECT now() - interval '1 year'")).scalar_one(),
        states=[DeliveryState.FAILED],
        hint_limit=50,
        hint_grace_s=120,
    ),
    "the end of what waits for an endpoint": lambda c: end_waiting_deliveries(c, ENDPOINT, EndReason.ENDPOINT_DISABLED),
    "the sweep of leases": lambda c: abandoned_attempts(c, limit=500),
    "the sweep of tasks": lambda c: take_unhinted(c, hint_grace_s=120, limit=500),
    "retention of reports": lambda c: delete_expired_reports(c, days=30, limit=500),
    "retention of deliveries": lambda c: delete_expired_deliveries(c, days=30, limit=500),
    "retention of endpoints": lambda c: delete_expired_endpoints(c, days=30, limit=500),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """An engine to one filled database, and the buffers of the statements sent through it."""

    engine: Engine
    buffers: list[int]

    def cost_of(self, work: Work) -> int:
        """Return the buffers that all statements of some work read; nothing is kept.

        The work runs twice and the second run counts: the first one in a session also reads the catalogues.
        """
        with self.engine.connect() as connection:
            for _ in range(2):
                self.buffers.clear()
                work(connection)
                connection.rollback()
        return sum(self.buffers)


def _buffers_of(plan: Any) -> int:
    """Return the shared buffers of a plan with all below it, and of what its foreign keys looked up."""
    top = plan["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def _explain_each(engine: Engine, found: list[int]) -> None:
    """Run EXPLAIN ANALYZE beside every statement, in a savepoint, before the statement itself runs."""

    @event.listens_for(engine, "before_cursor_execute")
    def explain(
        connection: Connection, _cursor: Any, statement: str, values: Any, _context: Any, executemany: bool
    ) -> None:
        raw = connection.connection.cursor()
        for given in values if executemany else [values]:
            raw.execute("SAVEPOINT before")
            raw.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", given)
            found.append(_buffers_of(cast("tuple[Any]", raw.fetchone())[0][0]))
            raw.execute("ROLLBACK TO SAVEPOINT before")


@pytest.fixture(scope="module", name="measured")
def _measured(postgres: Postgres) -> Iterator[dict[int, Measured]]:
    made = {}
    for rows in (SMALL, LARGE):
        postgres.create_database(f"reporter_{rows}")
        url = postgres.url(f"reporter_{rows}")
        upgrade(url)
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.execute(_FILL, {"rows": rows})
        connection.close()
        engine, found = new_engine(url, pool_size=1), list[int]()
        _explain_each(engine, found)
        made[rows] = Measured(engine, found)
    yield made
    for each in made.values():
        each.engine.dispose()


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_is_as_cheap_in_a_large_table(measured: dict[int, Measured], name: str) -> None:
    """A few pages, however many rows are not asked for; one level more of an index is allowed."""
    small, large = (measured[rows].cost_of(STATEMENTS[name]) for rows in (SMALL, LARGE))

    assert small > 0
    assert large <= min(MAX_BUFFERS, small + 25), f"{small} buffers at {SMALL} rows, {large} at {LARGE}"


def test_a_statement_without_an_index_would_be_seen(measured: dict[int, Measured]) -> None:
    """Reading a whole table costs more than the limit."""
    whole = measured[LARGE].cost_of(lambda c: c.execute(text("SELECT * FROM deliveries WHERE url = 'x'")))

    assert whole > MAX_BUFFERS
