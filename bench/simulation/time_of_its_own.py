"""A database whose time is set: `now()` and `clock_timestamp()` of an engine are what was set last, for all at once.

Defaults of columns are bound to PostgreSQL's own functions and stay at the time of the world, so the time of a
simulation begins a day later: what such a default says has passed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, event, text

# A schema that comes before pg_catalog in the search path hides what is in there.
_SCHEMA = """
    CREATE SCHEMA IF NOT EXISTS own_time;
    DROP TABLE IF EXISTS own_time.present;
    CREATE UNLOGGED TABLE own_time.present AS
        SELECT pg_catalog.now() + interval '1 day' AS begun, pg_catalog.now() + interval '1 day' AS moment;
    CREATE OR REPLACE FUNCTION own_time.now() RETURNS timestamptz STABLE LANGUAGE sql AS
        'SELECT moment FROM own_time.present';
    CREATE OR REPLACE FUNCTION own_time.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
        'SELECT moment FROM own_time.present';
"""


class OwnTime:
    """Sets the time of a database; seconds count from the begin.

    Args:
        engine: whose connections see it; none may have been made before.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

        @event.listens_for(engine, "connect")
        def search_first(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET search_path = own_time, pg_catalog, public")
            connection.commit()

        with engine.begin() as connection:
            connection.exec_driver_sql(_SCHEMA)
            self.begun = connection.execute(text("SELECT begun FROM own_time.present")).scalar_one()

    def set(self, seconds: float) -> None:
        """Set the time."""
        with self._engine.begin() as connection:
            moment = self.begun + timedelta(seconds=seconds)
            connection.execute(text("UPDATE own_time.present SET moment = :moment"), {"moment": moment})
