"""Alembic's entry."""

from __future__ import annotations

from chassis.db.migrate import run_migrations

run_migrations()
