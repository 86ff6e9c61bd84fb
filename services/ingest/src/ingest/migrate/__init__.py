"""Brings ingest's tables to the newest form; may be run by several processes at once and any number of times."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text

_ADVISORY_LOCK = 0x696E_6765_7374  # "ingest": a number of our own, unlike that of any other program
_SCRIPTS = Path(__file__).parent.parent / "migrations"


def upgrade(database_url: str) -> None:
    """Apply every migration that is missing.

    Args:
        database_url: `postgresql://...`; its user owns the tables.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached.
    """
    # Not the service's engine: its short time-outs would end a long migration, or the wait for a rival's.
    url = make_url(database_url).set(drivername="postgresql+psycopg2")
    engine = create_engine(url, connect_args={"connect_timeout": 10})
    try:
        # The lock lives on a connection of its own: released when this process ends, however it ends.
        with engine.connect() as holder:
            holder.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _ADVISORY_LOCK})
            with engine.begin() as connection:
                config = Config()
                config.set_main_option("script_location", str(_SCRIPTS))
                config.set_main_option("path_separator", "os")
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    finally:
        engine.dispose()
