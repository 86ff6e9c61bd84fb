"""Transactions on a real PostgreSQL: what is retried, what is 503, what is nobody's business but the caller's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from chassis.db.engine import new_engine, transact
from chassis.errors import ApiError


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = new_engine(url, pool_size=2, application_name="test")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counters (name text PRIMARY KEY, value int NOT NULL)"))
        connection.execute(text("INSERT INTO counters VALUES ('a', 0), ('b', 0)"))
    yield engine
    engine.dispose()


def value(engine: Engine, name: str = "a") -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT value FROM counters WHERE name = :n"), {"n": name}).scalar_one())


def raise_one(connection: Connection, name: str = "a") -> str:
    connection.execute(text("UPDATE counters SET value = value + 1 WHERE name = :n"), {"n": name})
    return "done"


def test_a_unit_of_work_is_committed_and_its_result_returned(engine: Engine) -> None:
    """The plain case."""
    assert transact(engine, raise_one) == "done"
    assert value(engine) == 1


def fail_after_writing(connection: Connection) -> None:
    raise_one(connection)
    raise LookupError


def test_an_exception_rolls_the_unit_back(engine: Engine) -> None:
    """The caller's exception comes through, the write does not."""
    with pytest.raises(LookupError):
        transact(engine, fail_after_writing)
    assert value(engine) == 0


def test_a_violated_constraint_is_the_callers_business(engine: Engine) -> None:
    """Not retried, not turned into 503."""
    tries: list[int] = []

    def insert_twice(connection: Connection) -> None:
        tries.append(1)
        connection.execute(text("INSERT INTO counters VALUES ('a', 1)"))

    with pytest.raises(IntegrityError):
        transact(engine, insert_twice)
    assert len(tries) == 1


@pytest.mark.fault("B2")
def test_a_connection_that_dies_in_the_middle_is_replaced_and_the_unit_repeated(engine: Engine) -> None:
    """As after a failover: killed once, done once."""
    tries: list[int] = []

    def killed_once(connection: Connection) -> None:
        raise_one(connection)
        tries.append(1)
        if len(tries) == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    transact(engine, killed_once)

    assert (len(tries), value(engine)) == (2, 1)


def terminate_all(url: str) -> None:
    """End the backends of all connections of the pool."""
    other = new_engine(url, pool_size=1)
    with other.connect() as connection:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'"
        connection.execute(text(query))
    other.dispose()


@pytest.mark.fault("B4")
def test_connections_that_died_while_idle_cost_not_even_a_try(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All idle backends are terminated; the next unit succeeds at its first try."""
    monkeypatch.setattr("chassis.db.engine.IDLE_S", 0.0)
    transact(engine, raise_one)
    terminate_all(url)

    transact(engine, raise_one, attempts=1)

    assert value(engine) == 2


@pytest.mark.fault("B4")
@pytest.mark.parametrize("alone", [False, True])
def test_connections_that_died_a_moment_after_their_use_cost_one_more_try(
    engine: Engine, url: str, alone: bool
) -> None:
    """Connections in steady use are not asked whether they live."""
    with engine.connect(), engine.connect():
        pass
    terminate_all(url)

    transact(engine, raise_one, alone=alone)

    assert value(engine) == 1


def test_work_that_is_alone_is_committed_by_its_statement(engine: Engine) -> None:
    """And what follows on the same connection is a transaction again."""
    transact(engine, raise_one, alone=True)
    with pytest.raises(LookupError):
        transact(engine, fail_after_writing)

    assert value(engine) == 1


@pytest.mark.fault("B7")
def test_a_deadlock_is_resolved_by_repeating_the_victim(engine: Engine) -> None:
    """Two units lock two rows in opposite order; both end up done."""
    together = threading.Barrier(2)
    met = threading.Event()

    def in_order(first: str, second: str) -> None:
        def work(connection: Connection) -> None:
            raise_one(connection, first)
            if not met.is_set():
                together.wait(10)
                met.set()
            raise_one(connection, second)

        transact(engine, work)

    threads = [threading.Thread(target=in_order, args=names) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert (value(engine, "a"), value(engine, "b")) == (2, 2)


@pytest.mark.fault("B5")
def test_a_full_pool_is_503_in_two_seconds_and_not_a_hang(engine: Engine) -> None:
    """Every connection is taken by others."""
    with engine.connect(), engine.connect(), pytest.raises(ApiError) as caught:
        transact(engine, raise_one)

    assert (caught.value.http_code, caught.value.reason) == (503, "DATABASE_BUSY")


@pytest.mark.fault("B6")
def test_a_statement_that_takes_too_long_is_503(url: str) -> None:
    """The server ends it."""
    engine = new_engine(url, pool_size=1, statement_timeout_s=0.1)
    with pytest.raises(ApiError) as caught:
        transact(engine, lambda connection: connection.execute(text("SELECT pg_sleep(5)")))
    engine.dispose()

    assert (caught.value.http_code, caught.value.reason) == (503, "DATABASE_BUSY")


def test_an_absent_server_is_503() -> None:
    """With Retry-After, after a few tries."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    engine = new_engine(f"postgresql+psycopg2://nobody@127.0.0.1:{port}/none", pool_size=1)
    with pytest.raises(ApiError) as caught:
        transact(engine, raise_one)
    engine.dispose()

    assert (caught.value.http_code, caught.value.reason) == (503, "DATABASE_UNAVAILABLE")
    assert caught.value.retry_after_s
