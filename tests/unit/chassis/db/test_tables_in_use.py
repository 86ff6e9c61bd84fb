"""Indexes and backfills of tables in use: nobody waits for them, and what broke off is done again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy.exc import IntegrityError

from chassis.db.migrate import Migrations, upgrade

ENV = "from chassis.db.migrate import run_migrations\n\nrun_migrations()\n"
VERSION = """
from alembic import op

from chassis.db.tables_in_use import create_index, in_pages

revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None


def upgrade() -> None:
    {does}
"""
TABLE = 'op.execute("CREATE TABLE things AS SELECT n AS id, 0 AS size FROM generate_series(1, 25) AS n")'
INDEX = 'create_index("things_by_size", "ON things (size)")'
UNIQUE = 'create_index("things_by_size", "ON things (size) WHERE 1 / (id - 7) IS NOT NULL")'
PAGES = 'in_pages("UPDATE things SET size = id WHERE id IN (SELECT id FROM things WHERE size = 0 LIMIT 10)")'


def migrations_of(folder: Path, *does: str) -> Migrations:
    """Return migrations that do these things, one each."""
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    for number, line in enumerate(does, 1):
        before = f"{number - 1:04}" if number > 1 else None
        text = VERSION.format(revision=f"{number:04}", before=before, does=line)
        (folder / f"versions/v{number:04}_change.py").write_text(text)
    return Migrations("things", folder, "things_version", 4712)


@contextmanager
def connection_to(url: str) -> Iterator[psycopg2.extensions.connection]:
    """Give a connection that is closed afterwards."""
    connection = psycopg2.connect(url)
    try:
        yield connection
    finally:
        connection.close()


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    with connection_to(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'things_by_size'::regclass"


def test_rows_are_written_while_an_index_is_built(tmp_path: Path, url: str) -> None:
    """An older transaction holds the build up; a write that comes after it does not wait behind it."""
    upgrade(migrations_of(tmp_path / "a", TABLE), url)
    both = migrations_of(tmp_path / "b", TABLE, INDEX)
    with connection_to(url) as older, connection_to(url) as writer:
        older.cursor().execute("INSERT INTO things VALUES (26, 1)")
        building = threading.Thread(target=upgrade, args=(both, url))
        building.start()
        while not ask(url, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'virtualxid'"):
            assert building.is_alive()
        cursor = writer.cursor()
        cursor.execute("SET lock_timeout = '5s'")
        cursor.execute("INSERT INTO things VALUES (27, 1)")
        writer.commit()
        older.commit()
        building.join(30)

    assert ask(url, VALID) == [(True,)]
    assert ask(url, "SELECT count(*) FROM things") == [(27,)]


def test_index_that_broke_off_is_built_by_the_next_run(tmp_path: Path, url: str) -> None:
    """What is left of it is invalid and would be taken for the index."""
    with pytest.raises(Exception, match="division by zero"):
        upgrade(migrations_of(tmp_path / "a", TABLE, UNIQUE), url)
    assert ask(url, VALID) == [(False,)]

    upgrade(migrations_of(tmp_path / "b", TABLE, INDEX), url)

    assert ask(url, VALID) == [(True,)]


def test_backfill_is_committed_page_by_page(tmp_path: Path, url: str) -> None:
    """25 rows by tens: each page has a transaction of its own, so each has another number."""
    upgrade(migrations_of(tmp_path / "a", TABLE, PAGES), url)

    assert ask(url, "SELECT count(DISTINCT xmin::text), count(*) FROM things WHERE size = id") == [(3, 25)]


def test_migration_that_fails_leaves_those_before_it(tmp_path: Path, url: str) -> None:
    """The next run goes on where it stopped."""
    clash = 'op.execute("INSERT INTO only_once VALUES (1), (1)")'
    once = 'op.execute("CREATE TABLE only_once (id int PRIMARY KEY)")'
    with pytest.raises(IntegrityError):
        upgrade(migrations_of(tmp_path / "a", once, clash), url)

    assert ask(url, "SELECT version_num FROM things_version") == [("0001",)]
