"""A database whose time is set: `now()` and `clock_timestamp()` of an engine are what was set last, for all at once.

Defaults of columns are bound to PostgreSQL's own functions and stay at the time of the world, so the time of a
simulation begins a day later: what such a default says has passed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, event

# A schema that comes before pg_catalog in the search path hides what is in there. A sequence, because it is what
# sessions share that is read fastest: these functions are called for every row that is compared with the time.
_SCHEMA = """
    CREATE SCHEMA IF NOT EXISTS own_time;
    DROP SEQUENCE IF EXISTS own_time.micros CASCADE;
    CREATE SEQUENCE own_time.micros;
    CREATE FUNCTION own_time.now() RETURNS timestamptz STABLE LANGUAGE sql
        RETURN to_timestamp(pg_sequence_last_value('own_time.micros') / 1e6::float8);
    CREATE FUNCTION own_time.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
        RETURN to_timestamp(pg_sequence_last_value('own_time.micros') / 1e6::float8);
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OwnTime:
    """Sets the time of a database; seconds count from the begin.

    Args:
        engine: whose connections see it; none may have been made before.
    """

    def __init__(self, engine: Engine) -> None:
        self.begun = datetime.now(UTC) + timedelta(days=1)

        @event.listens_for(engine, "connect")
        def search_first(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET search_path = own_time, pg_catalog, public")
            connection.commit()

        with engine.begin() as connection:
            connection.exec_driver_sql(_SCHEMA)
        self._engine = engine
        self.set(0.0)

    def set(self, seconds: float) -> None:
        """Set the time."""
        micros = (self.begun + timedelta(seconds=seconds) - _EPOCH) // timedelta(microseconds=1)
        with self._engine.begin() as connection:
            connection.exec_driver_sql("SELECT setval('own_time.micros', %s)", (micros,))
