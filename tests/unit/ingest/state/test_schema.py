"""`schema.sql` says what the migrations make, to the last constraint."""

from __future__ import annotations

import uuid
from importlib.resources import files
from typing import Any

import psycopg2
import pytest

from localcloud.stack.postgres import Postgres

# Everything that a statement on these tables can notice; the order of columns is not among it.
_CATALOGUE = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
               a.attstattarget, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "triggers": "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
}
_VERSION_TABLE = "ingest_schema_version"


@pytest.fixture
def written_url(postgres: Postgres) -> str:
    name = f"schema_{uuid.uuid4().hex}"
    postgres.create_database(name)
    url = postgres.url(name)
    schema = files("ingest.state").joinpath("schema.sql").read_text(encoding="utf-8")
    _run(url, schema)
    return url


def test_the_schema_file_is_what_the_migrations_make(written_url: str, migrated_url: str) -> None:
    """Tables, columns, types, defaults, constraints and indexes."""
    written, migrated = catalogue_of(written_url), catalogue_of(migrated_url)
    for what in _CATALOGUE:
        assert written[what] == migrated[what], what
    assert len({row[0] for row in written["columns"]}) == 7


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE hosts ALTER waiting SET DEFAULT true",
        "ALTER TABLE images ALTER slot TYPE bigint",
        "ALTER TABLE batches DROP CONSTRAINT counts_add_up",
        "ALTER TABLE rows ALTER problems SET NOT NULL",
        "DROP INDEX outbox_due",
        "ALTER TABLE rows ALTER batch SET STATISTICS -1",
        "ALTER TABLE rows ADD COLUMN note text",
        "CREATE TABLE notes (id integer)",
    ],
)
def test_a_difference_is_seen(written_url: str, migrated_url: str, change: str) -> None:
    """The comparison is not blind."""
    _run(written_url, change)
    assert catalogue_of(written_url) != catalogue_of(migrated_url)


def catalogue_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what the catalogue says, without the table in which migrations are counted."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            found = {}
            for what, query in _CATALOGUE.items():
                cursor.execute(query)
                found[what] = sorted((row for row in cursor if row[0] != _VERSION_TABLE), key=repr)
            return found
    finally:
        connection.close()


def _run(url: str, statements: str) -> None:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statements)
    finally:
        connection.close()
