"""Migrations wait for nobody for long, each changes everything or nothing, and they may be run again."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest
from sqlalchemy.exc import OperationalError

from chassis.db.migrate import Migrations, main, upgrade

VERSION = """
from alembic import op

revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None


def upgrade() -> None:
    op.execute({statement!r})
"""
ENV = "from chassis.db.migrate import run_migrations\n\nrun_migrations()\n"


@pytest.fixture
def migrations(tmp_path: Path) -> Migrations:
    """Give two migrations: a table, and a column of it."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    statements = ("CREATE TABLE things (id int)", "ALTER TABLE things ADD COLUMN name text")
    for number, statement in enumerate(statements, 1):
        before = f"{number - 1:04}" if number > 1 else None
        text = VERSION.format(revision=f"{number:04}", before=before, statement=statement)
        (tmp_path / f"versions/v{number:04}_change.py").write_text(text)
    return Migrations("things", tmp_path, "things_version", 4711)


def columns(url: str) -> list[str]:
    """Return the columns of the table."""
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'things' ORDER BY ordinal_position"
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()


def test_what_is_missing_is_applied_and_may_be_applied_again(migrations: Migrations, url: str) -> None:
    """Up to the revision asked for, then to the newest."""
    upgrade(migrations, url, revision="0001")
    first = columns(url)
    upgrade(migrations, url)
    upgrade(migrations, url)

    assert (first, columns(url)) == (["id"], ["id", "name"])


def test_a_table_in_use_is_not_waited_for_long_and_nothing_is_changed(migrations: Migrations, url: str) -> None:
    """Everybody who comes after a waiting migration would wait with it."""
    upgrade(migrations, url, revision="0001")
    holder = psycopg2.connect(url)
    try:
        holder.cursor().execute("LOCK TABLE things IN ACCESS SHARE MODE")

        with pytest.raises(OperationalError, match="lock timeout"):
            upgrade(migrations, url, table_wait_s=0.2)

        assert columns(url) == ["id"]
    finally:
        holder.close()
    upgrade(migrations, url)
    assert columns(url) == ["id", "name"]


def test_the_command_needs_a_database(migrations: Migrations, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not guessed."""
    assert main(migrations, {}) == 2
    assert "things.migrate: DATABASE_URL is not set" in capsys.readouterr().err
    assert main(migrations, {"DATABASE_URL": url}) == 0
    assert columns(url) == ["id", "name"]
