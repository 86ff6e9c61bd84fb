"""Prepared statements on a real PostgreSQL: planned once, but never on what tables were long ago."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from chassis.db.engine import new_engine, transact
from chassis.db.prepared import PLAN_S, Prepared

ROWS = 20_000


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Give an engine of one connection, on a database with a small table that is never analysed by itself."""
    engine = new_engine(url, pool_size=1)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE words (id int PRIMARY KEY, word text) WITH (autovacuum_enabled = false)"))
        connection.execute(text("INSERT INTO words VALUES (1, 'one'), (2, '100 %')"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE words"))
    yield engine
    engine.dispose()


@pytest.fixture
def find(clock: Any) -> Prepared:
    """Give a statement that finds one row."""
    return Prepared("find", "SELECT id, word FROM words WHERE id = :id", clock=clock)


def found(engine: Engine, statement: Prepared, number: int = 1) -> Any:
    return transact(engine, lambda connection: statement.execute(connection, {"id": number}).one().word)


def used(engine: Engine, name: str) -> tuple[int, int]:
    """Return how often a statement was prepared for this connection and how often its plans were used."""
    query = (
        "SELECT count(*), coalesce(sum(generic_plans + custom_plans), 0) FROM pg_prepared_statements WHERE name = :n"
    )
    with engine.connect() as connection:
        prepared, executed = connection.execute(text(query), {"n": name}).one()
    return int(prepared), int(executed)


def test_a_connection_prepares_a_statement_once(engine: Engine, find: Prepared) -> None:
    """Every execution names it."""
    assert [found(engine, find) for _ in range(3)] == ["one"] * 3

    assert used(engine, "find") == (1, 3)


def test_values_reach_their_parameters(engine: Engine) -> None:
    """Also one that stands there twice, beside percent signs of the statement's own."""
    statement = Prepared("several", "SELECT CAST(:b AS text) || '%s' || CAST(:a AS int) || '%' || :b AS told")

    told = transact(engine, lambda connection: statement.execute(connection, {"a": 1, "b": "'%"}).scalar())

    assert told == "'%%s1%'%"


def test_no_value_is_null(engine: Engine) -> None:
    """As in any statement."""
    statement = Prepared("missing", "SELECT CAST(:a AS text) IS NULL AS told")

    assert transact(engine, lambda connection: statement.execute(connection, {"a": None}).scalar()) is True


def test_a_statement_without_parameters_is_prepared_as_well(engine: Engine) -> None:
    """EXECUTE has no parentheses then."""
    statement = Prepared("plain", "SELECT '%' AS sign")

    assert transact(engine, lambda connection: statement.execute(connection, {}).scalar()) == "%"


def test_what_is_prepared_outlives_a_rollback(engine: Engine, find: Prepared) -> None:
    """As PostgreSQL keeps it."""

    def fail(connection: Connection) -> None:
        find.execute(connection, {"id": 1})
        raise LookupError

    with pytest.raises(LookupError):
        transact(engine, fail)

    assert found(engine, find) == "one"
    assert used(engine, "find") == (1, 2)


def test_a_new_connection_prepares_anew(engine: Engine, find: Prepared) -> None:
    """One dies in the middle: the unit runs again on another."""
    tries: list[int] = []

    def killed_once(connection: Connection) -> Any:
        tries.append(1)
        word = find.execute(connection, {"id": 1}).one().word
        if len(tries) == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return word

    assert transact(engine, killed_once) == "one"
    assert used(engine, "find") == (1, 1)


def plan_of(engine: Engine, name: str) -> str:
    """Return how a prepared statement reads its table."""
    with engine.connect() as connection:
        explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) EXECUTE {name} (1)").scalar()
    (told,) = explained if isinstance(explained, list) else json.loads(str(explained))
    return str(told["Plan"]["Node Type"])


def test_a_plan_of_a_small_table_is_not_used_for_long_after_it_has_grown(
    engine: Engine, find: Prepared, clock: Any
) -> None:
    """No statistics say so: autovacuum comes later than a batch."""
    for _ in range(10):
        found(engine, find)
    with engine.begin() as connection:
        rows = text("INSERT INTO words SELECT n, 'word' FROM generate_series(3, :rows) AS n")
        connection.execute(rows, {"rows": ROWS})
    assert plan_of(engine, "find") == "Seq Scan", "one plan for all values was kept"

    clock.sleep(PLAN_S)
    found(engine, find)

    assert plan_of(engine, "find") == "Index Scan"


@pytest.mark.parametrize("alone", [False, True])
def test_a_migration_that_changes_a_type_costs_one_more_try(url: str, engine: Engine, alone: bool) -> None:
    """However many connections have prepared the statement as it was."""
    of_three = new_engine(url, pool_size=3)
    statement = Prepared("find", "SELECT word FROM words WHERE id = :id")

    def word(connection: Connection) -> Any:
        return statement.execute(connection, {"id": 1}).scalar()

    with of_three.connect() as first, of_three.connect() as second, of_three.connect() as third:
        assert [word(connection) for connection in (first, second, third)] == ["one"] * 3
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE words ALTER word TYPE varchar(10)"))

    assert transact(of_three, word, attempts=2, alone=alone) == "one"
    of_three.dispose()


def test_a_connection_that_has_forgotten_its_statements_is_replaced(engine: Engine, find: Prepared) -> None:
    """Somebody said DISCARD ALL."""
    found(engine, find)
    with engine.connect() as connection:
        connection.exec_driver_sql("DEALLOCATE ALL")
        connection.commit()

    assert found(engine, find) == "one"


def test_a_connection_that_has_a_statement_of_which_we_do_not_know_is_replaced(engine: Engine, find: Prepared) -> None:
    """The call that prepared it was broken off before it was answered."""
    with engine.connect() as connection:
        connection.exec_driver_sql("PREPARE find AS SELECT 1")
        connection.commit()

    assert found(engine, find) == "one"


def test_another_fault_of_a_prepared_statement_is_the_callers_business(engine: Engine) -> None:
    """The connection stays."""
    statement = Prepared("divide", "SELECT 1 / CAST(:by AS int) AS result")
    tries: list[int] = []

    def divide(connection: Connection) -> None:
        tries.append(1)
        statement.execute(connection, {"by": 0})

    with pytest.raises(DBAPIError, match="division by zero"):
        transact(engine, divide)

    assert len(tries) == 1
    assert used(engine, "divide")[0] == 1
