"""Brings the database to the present schema; run as `python -m reporter.migrate` before a revision takes traffic."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from chassis.db.engine import new_engine

_LOCK_KEY = 7_301_936_402_118
"""Key of the advisory lock, unique to this service: two migrations at once run one after the other."""

_LOCK_WAIT = "120s"


def migrate(database_url: str, *, revision: str = "head") -> None:
    """Apply every missing migration, up to a revision, in one transaction; do nothing when there is none.

    Raises:
        sqlalchemy.exc.DBAPIError: the database cannot be reached or another migration holds the lock too long.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = new_engine(database_url, pool_size=1, application_name="reporter-migrate")
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
            connection.execute(sa.text(f"SET LOCAL statement_timeout = '{_LOCK_WAIT}'"))
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()
