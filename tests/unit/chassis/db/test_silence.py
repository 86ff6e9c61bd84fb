"""A database that answers nothing is 503 within 5 s, wherever it falls silent, and is found again by itself."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, make_url, text

from chassis.db.engine import new_engine, transact
from chassis.db.silence import is_answering
from chassis.errors import ApiError
from localcloud.stack.postgres import Postgres
from support.postgres_proxy import PostgresProxy

GENEROUS_S = 12.0
"""5 s are promised, of which a machine that is not busy uses less than 4 s; a driver by itself waits for ever."""


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres.port) as running:
        yield running


@pytest.fixture
def engine(proxy: PostgresProxy, database: str) -> Iterator[Engine]:
    engine = new_engine(proxy.url(database), pool_size=4)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (id int)"))
        connection.execute(text("INSERT INTO things SELECT generate_series(1, 5000)"))
    yield engine
    engine.dispose()


def seconds_until_refused(engine: Engine, work: Callable[[Connection], Any]) -> float:
    """Return how long a transaction took to end with 503."""
    begun = time.monotonic()
    with pytest.raises(ApiError) as caught:
        transact(engine, work)
    assert (caught.value.http_code, caught.value.reason) == (503, "DATABASE_UNAVAILABLE")
    return time.monotonic() - begun


def select(connection: Connection) -> None:
    """Ask something."""
    connection.execute(text("SELECT 1"))


def copy(connection: Connection) -> None:
    """Write rows as a sheet is written."""
    cursor: Any = connection.connection.cursor()
    cursor.copy_expert("COPY things FROM STDIN", io.StringIO("1\n2\n"))


def stream(connection: Connection) -> None:
    """Read rows as an export is read."""
    rows = connection.execution_options(stream_results=True, yield_per=10).execute(text("SELECT id FROM things"))
    for _row in rows:
        pass


def silence_then(proxy: PostgresProxy, work: Callable[[Connection], Any]) -> Callable[[Connection], None]:
    """Return work whose transaction has begun when the database falls silent."""

    def silenced(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        proxy.stalled = True
        work(connection)

    return silenced


@pytest.mark.fault("B14")
@pytest.mark.parametrize("work", [select, copy, stream])
def test_a_silence_amid_a_transaction_is_503(
    engine: Engine, proxy: PostgresProxy, work: Callable[[Connection], Any]
) -> None:
    """The query was sent and confirmed, and nothing comes back."""
    assert seconds_until_refused(engine, silence_then(proxy, work)) < GENEROUS_S

    proxy.stalled = False


@pytest.mark.fault("B14")
def test_a_silence_at_the_commit_is_503(engine: Engine, proxy: PostgresProxy) -> None:
    """Whether it was done nobody knows; the caller comes again."""
    assert seconds_until_refused(engine, silence_then(proxy, lambda _connection: None)) < GENEROUS_S

    proxy.stalled = False


@pytest.mark.fault("B14")
def test_a_silence_is_found_by_kept_connections_and_by_new_ones(engine: Engine, proxy: PostgresProxy) -> None:
    """The first request may wait, those right after it do not; when the database speaks again, all is well."""
    transact(engine, select)
    proxy.stalled = True

    first = seconds_until_refused(engine, select)
    second = seconds_until_refused(engine, select)
    engine.dispose()
    proxy.stalled = False
    deadline = time.monotonic() + GENEROUS_S
    while time.monotonic() < deadline:
        try:
            transact(engine, select)
            break
        except ApiError:
            threading.Event().wait(0.1)

    transact(engine, select)
    assert (first < GENEROUS_S, second < first) == (True, True)


def test_all_threads_are_freed(engine: Engine, proxy: PostgresProxy) -> None:
    """As many as there are connections, and more that wait for one."""
    transact(engine, select)
    proxy.stalled = True
    begun = time.monotonic()
    reasons: list[str] = []

    def ask() -> None:
        try:
            transact(engine, select)
        except ApiError as error:
            reasons.append(error.reason)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GENEROUS_S)

    assert len(reasons) == 8
    assert set(reasons) <= {"DATABASE_UNAVAILABLE", "DATABASE_BUSY"}
    assert time.monotonic() - begun < GENEROUS_S
    proxy.stalled = False


def test_a_slow_statement_is_not_silence(engine: Engine) -> None:
    """The database answers the question, so it is waited for."""
    assert transact(engine, lambda c: c.execute(text("SELECT 7 FROM pg_sleep(4.5)")).scalar_one()) == 7


def test_a_server_that_greets_nobody_is_503() -> None:
    """It takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        engine = new_engine(f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/x", pool_size=1)
        assert seconds_until_refused(engine, select) < GENEROUS_S
        engine.dispose()


def test_the_question_is_answered_by_a_database_and_by_nobody_else(
    postgres: Postgres, unused_tcp_port: int, database: str
) -> None:
    """A port without a server and one without words are silent."""
    assert is_answering(make_url(postgres.url(database)))
    assert not is_answering(make_url(f"postgresql://127.0.0.1:{unused_tcp_port}/x"))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert not is_answering(make_url(f"postgresql://127.0.0.1:{mute.getsockname()[1]}/x"))


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
