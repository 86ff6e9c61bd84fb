"""A database whose time a test sets: `now()` of an engine's transactions is that of a clock of the test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, event

# A schema that comes before pg_catalog in the search path hides what is in there.
_SCHEMA = """
    CREATE SCHEMA IF NOT EXISTS clock_of_test;
    CREATE OR REPLACE FUNCTION clock_of_test.now() RETURNS timestamptz STABLE LANGUAGE sql AS
    $$ SELECT coalesce(nullif(current_setting('clock_of_test.now', true), '')::timestamptz, pg_catalog.now()) $$;
"""


def prepare_database_clock(database_url: str) -> None:
    """Add the function to a database, once."""
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(_SCHEMA)
    connection.close()


def set_database_clock(engine: Engine, read: Callable[[], datetime]) -> None:
    """Let `now()` of every transaction of an engine be what `read` gives when it begins."""

    @event.listens_for(engine, "connect")
    def search_first(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = clock_of_test, pg_catalog, public")
        connection.commit()

    @event.listens_for(engine, "begin")
    def set_time(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL clock_of_test.now = '{read().isoformat()}'")
