"""The database engine: bounded waits everywhere, one retry for a connection that died, outages as 503.

Engine settings follow what was measured for PostgreSQL behind a pool: a connection that was idle for a while is asked
whether it lives, which makes the first request after a failover succeed, and server-side timeouts keep one stuck lock
from holding a worker. A database that answers nothing at
all is cut off within 4 s (chassis.db.silence); the next request after that finds it again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg2
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from chassis.clock import SystemClock
from chassis.db.silence import (
    CONNECT_S,
    DatabaseSilentError,
    SilenceWatch,
    guard_connects,
    is_answering,
    watched_connections,
)
from chassis.errors import ApiError, SharedReason, Status, unavailable
from chassis.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")

IDLE_S = 1.0
"""Seconds after which a connection of the pool is asked whether it lives before it is used again."""

_RETRYABLE_SQLSTATES = frozenset({"40001", "40P01"})  # serialization failure, deadlock
# Where the database is reached by TCP, what it does not confirm is given up as fast as silence is.
_TCP_ARGUMENTS = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 4000,
}
_LOCK_SQLSTATES = frozenset({"55P03", "57014"})  # lock_timeout, statement_timeout


def new_engine(
    url: str,
    *,
    pool_size: int,
    statement_timeout_s: float = 30.0,
    lock_timeout_s: float = 5.0,
    application_name: str = "",
) -> Engine:
    """Return an engine for a `postgresql://` URL; the driver is always psycopg2.

    Args:
        url: the database; on Cloud Run its host is the `/cloudsql/INSTANCE` socket folder.
        pool_size: connections per process, no overflow; a full pool answers 503 after 2 s instead of hanging.
        statement_timeout_s: seconds after which the server ends a statement.
        lock_timeout_s: seconds after which the server ends the wait for a lock.
        application_name: shown in pg_stat_activity.
    """
    options = (
        f"-c statement_timeout={int(statement_timeout_s * 1000)} -c lock_timeout={int(lock_timeout_s * 1000)}"
        " -c idle_in_transaction_session_timeout=30000 -c timezone=UTC -c plan_cache_mode=force_generic_plan"
    )
    parsed = psycopg2_url(url)
    watch = SilenceWatch(lambda: is_answering(parsed), SystemClock())
    engine = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=2.0,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": CONNECT_S,
            "options": options,
            "application_name": application_name,
            **_TCP_ARGUMENTS,
            **watched_connections(watch),
        },
    )
    guard_connects(engine, watch)
    _ask_the_idle(engine)
    return engine


def _ask_the_idle(engine: Engine) -> None:
    """Replace connections that have died while nobody used them: those idle for `IDLE_S` are asked first.

    SQLAlchemy's `pool_pre_ping` asks before each use, a round trip that a busy service would make a hundred times a
    second. What dies in use is found by `transact`.
    """
    clock = SystemClock()

    @event.listens_for(engine, "checkin")
    def _checked_in(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = clock.monotonic()

    @event.listens_for(engine, "checkout")
    def _checked_out(connection: Any, record: Any, _proxy: Any) -> None:
        idle_since = record.info.get("idle_since")
        if idle_since is None or clock.monotonic() - idle_since < IDLE_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg2.Error as error:
            # The pool makes a new connection, and lets go of all that are older than this moment.
            raise InvalidatePoolError from error


def psycopg2_url(url: str) -> URL:
    """Return a `postgresql://` URL with its driver named: SQLAlchemy 2.1 would take psycopg 3 for it."""
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg2") if parsed.drivername in {"postgresql", "postgres"} else parsed


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        # By the driver: SQLAlchemy's AUTOCOMMIT asks the server when it is taken back.
        driver: Any = connection.connection.driver_connection
        driver.autocommit = True
        try:
            yield connection
        finally:
            if not driver.closed:
                driver.autocommit = False


def transact(engine: Engine, work: Callable[[Connection], T], *, attempts: int = 3, alone: bool = False) -> T:
    """Run `work` in one transaction and return its result.

    `alone` is for work of a single statement: it is a transaction by itself, so the round trips that begin and commit
    one are saved.

    A dropped connection, a deadlock or a serialization failure runs the whole unit again, so `work` must be safe to
    repeat even when its first commit did reach the server: every write here is a compare-and-set or has a key.

    Raises:
        ApiError: 503 DATABASE_UNAVAILABLE when the database cannot be reached or is silent, 503 DATABASE_BUSY when it
            stays locked.
    """
    for attempt in range(1, attempts + 1):
        try:
            with _alone(engine) if alone else engine.begin() as connection:
                return work(connection)
        except PoolTimeoutError as error:
            raise unavailable(
                SharedReason.DATABASE_BUSY, "All database connections are in use.", retry_after_s=2
            ) from error
        except (DBAPIError, psycopg2.Error) as error:
            # COPY goes through the driver's own cursor, whose errors SQLAlchemy does not wrap.
            driver_error = error.orig if isinstance(error, DBAPIError) else error
            if isinstance(driver_error, DatabaseSilentError):
                raise unavailable(SharedReason.DATABASE_UNAVAILABLE, "The database does not answer.") from error
            sqlstate = getattr(driver_error, "pgcode", None)
            lost = isinstance(driver_error, psycopg2.OperationalError) and sqlstate is None
            lost = lost or (isinstance(error, DBAPIError) and error.connection_invalidated)
            if sqlstate in _LOCK_SQLSTATES:
                raise unavailable(
                    SharedReason.DATABASE_BUSY, "The database did not answer in time.", retry_after_s=2
                ) from error
            shutting_down = sqlstate is not None and sqlstate.startswith(("57P", "53", "08", "25006"))
            if not (lost or shutting_down or sqlstate in _RETRYABLE_SQLSTATES):
                raise
            if attempt == attempts:
                raise unavailable(SharedReason.DATABASE_UNAVAILABLE, "The database cannot be reached.") from error
            log.warning("transaction.retried", attempt=attempt, sqlstate=sqlstate or "connection")
    raise ApiError(Status.INTERNAL, SharedReason.INTERNAL, "unreachable")  # pragma: no cover
