"""Alembic's entry: runs the migrations on the connection that `ingest.migrate` hands over."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=None, version_table="ingest_schema_version")
with context.begin_transaction():
    context.run_migrations()
