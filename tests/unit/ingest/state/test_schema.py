"""`schema.sql` says what the migrations make, to the last constraint."""

from __future__ import annotations

import uuid
from importlib.resources import files

import pytest
from docs.generate.tables import tables_of

from localcloud.stack.postgres import Postgres
from support.catalogue import catalogue_of, run_statements

_VERSION_TABLE = "ingest_schema_version"


@pytest.fixture
def written_url(postgres: Postgres) -> str:
    name = f"schema_{uuid.uuid4().hex}"
    postgres.create_database(name)
    url = postgres.url(name)
    schema = files("ingest.state").joinpath("schema.sql").read_text(encoding="utf-8")
    run_statements(url, schema)
    return url


def test_the_schema_file_is_what_the_migrations_make(written_url: str, migrated_url: str) -> None:
    """Tables, columns, types, defaults, constraints and indexes."""
    written, migrated = (catalogue_of(url, version_table=_VERSION_TABLE) for url in (written_url, migrated_url))

    assert written == migrated
    assert len({str(row[0]).partition(".")[0] for row in written["columns"]}) == 10


def test_the_diagram_has_the_columns_of_the_tables(migrated_url: str) -> None:
    """No more and no fewer than the database has."""
    drawn = tables_of(files("ingest.state").joinpath("schema.sql").read_text(encoding="utf-8"))

    found = catalogue_of(migrated_url, version_table=_VERSION_TABLE)["columns"]

    columns = sorted(f"{table.name}.{column}" for table in drawn for column, _kind in table.columns)
    assert columns == sorted(str(row[0]) for row in found)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE hosts ALTER refuses SET DEFAULT true",
        "ALTER TABLE images ALTER slot TYPE bigint",
        "ALTER TABLE batches DROP CONSTRAINT counts_add_up",
        "ALTER TABLE rows ALTER problems SET NOT NULL",
        "DROP INDEX outbox_due",
        "ALTER TABLE rows ALTER batch SET STATISTICS -1",
        "ALTER TABLE rows ADD COLUMN note text",
        "CREATE TABLE notes (id integer)",
        "ALTER FUNCTION pace_after VOLATILE",
    ],
)
def test_a_difference_is_seen(written_url: str, migrated_url: str, change: str) -> None:
    """The comparison is not blind."""
    run_statements(written_url, change)

    written, migrated = (catalogue_of(url, version_table=_VERSION_TABLE) for url in (written_url, migrated_url))

    assert written != migrated
