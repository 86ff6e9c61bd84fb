"""Brings reporter's tables to the newest form; run as `python -m reporter.migrate` before a revision takes traffic."""

from __future__ import annotations

from pathlib import Path

from chassis.db.migrate import Migrations
from chassis.db.migrate import upgrade as upgrade_tables

MIGRATIONS = Migrations(
    service="reporter",
    folder=Path(__file__).parent.parent / "migrations",
    version_table="alembic_version",
    lock_key=7_301_936_402_118,
)


def upgrade(database_url: str, *, revision: str = "head") -> None:
    """Apply every migration that is missing, up to a revision, each in a transaction of its own.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached, or a lock was not to be had in time.
    """
    upgrade_tables(MIGRATIONS, database_url, revision=revision)
