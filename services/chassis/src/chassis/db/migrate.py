"""Brings a service's tables to the newest form; may be run by several processes at once and any number of times.

A service has its migrations in a folder of alembic's form: `env.py`, which calls `run_migrations`, and
`versions/v0001_what_it_does.py` with the revision `0001`. alembic is a requirement of the services that have tables.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, NullPool, create_engine, text

from chassis.clock import SystemClock
from chassis.db.engine import psycopg2_url

RIVAL_WAIT_S = 120.0
"""Seconds to wait for another process that migrates the same tables."""

_TURN_S = 0.2

TABLE_WAIT_S = 10.0
"""Seconds to wait for a table that is in use. While a migration waits, everybody who comes after it waits too, so it
gives up early, changes nothing, and is run again."""


@dataclass(frozen=True, slots=True)
class Migrations:
    """The migrations of a service.

    Args:
        service: its name, as it calls itself at the database.
        folder: alembic's folder.
        version_table: where the present revision is kept.
        lock_key: key of the advisory lock under which one process migrates at a time; no other program's.
    """

    service: str
    folder: Path
    version_table: str
    lock_key: int


def upgrade(
    migrations: Migrations, database_url: str, *, revision: str = "head", table_wait_s: float = TABLE_WAIT_S
) -> None:
    """Apply every migration that is missing, up to a revision, each in a transaction of its own.

    A migration commits before the next begins, so that one may also work outside of a transaction
    (`chassis.db.tables_in_use`); one that fails changes nothing, and the next run begins with it.

    Args:
        migrations: those of the service.
        database_url: `postgresql://...`; its user owns the tables.
        revision: the last one to apply.
        table_wait_s: seconds to wait for a table that is in use.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached, or a lock was not to be had in time; that
            migration and those after it are still missing.
    """
    # Not the service's engine: its time-outs would end a long migration. Only waiting is bounded here.
    engine = create_engine(
        psycopg2_url(database_url),
        poolclass=NullPool,
        connect_args={"connect_timeout": 10, "application_name": f"{migrations.service}-migrate"},
    )
    config = Config()
    config.set_main_option("script_location", str(migrations.folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    # The lock lives on a connection of its own, without a transaction that others would wait for: released when this
    # process ends, however it ends.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as holder:
        _take_turn(holder, migrations.lock_key)
        with engine.connect() as connection:
            connection.execute(text(f"SET lock_timeout = {int(table_wait_s * 1000)}"))
            connection.commit()
            config.attributes.update(connection=connection, version_table=migrations.version_table)
            command.upgrade(config, revision)


def _take_turn(holder: Connection, lock_key: int) -> None:
    """Take the advisory lock, waiting for another process.

    Asked for again and again: a statement that waits for it would have a snapshot, and an index that the other process
    builds while its table is written waits for every older snapshot. They would wait for each other.
    """
    clock = SystemClock()
    give_up = clock.monotonic() + RIVAL_WAIT_S
    while not holder.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": lock_key}).scalar_one():
        if clock.monotonic() >= give_up:
            # The error of a lock that was not to be had in time.
            holder.execute(text("SET lock_timeout = 1"))
            holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": lock_key})
            return
        clock.sleep(_TURN_S)


def run_migrations() -> None:
    """Run what alembic chose on the connection that `upgrade` hands over: all that a service's `env.py` does."""
    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        version_table=attributes["version_table"],
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def main(migrations: Migrations, environ: Mapping[str, str]) -> int:
    """Migrate the database that DATABASE_URL names; return the exit status."""
    url = environ.get("DATABASE_URL", "")
    if not url:
        sys.stderr.write(f"{migrations.service}.migrate: DATABASE_URL is not set\n")
        return 2
    upgrade(migrations, url)
    return 0
