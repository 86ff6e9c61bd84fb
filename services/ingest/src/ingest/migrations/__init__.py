"""Alembic's scripts: the history of ingest's tables."""
