"""What a migration does to a table that is in use: nothing that makes its readers and writers wait.

A plain `CREATE INDEX` holds up every write of the table until it is built, and one `UPDATE` of all rows holds each row
until its end. Both are done here outside of the migration's transaction, so both may be begun again: a migration that
broke off is run from its first line.

Sources: https://www.postgresql.org/docs/18/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY and
https://alembic.sqlalchemy.org/en/latest/api/runtime.html (autocommit_block).
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

BUILD_WAIT_S = 600
"""Seconds that an index waits for transactions which began before it; nobody waits behind it meanwhile."""


def create_index(name: str, definition: str) -> None:
    """Build an index while the table is written; what a broken-off build left behind is dropped first.

    Args:
        name: of the index.
        definition: what follows the name, e.g. `ON images (host) WHERE status = 'PENDING'`.

    Raises:
        sqlalchemy.exc.OperationalError: a transaction did not end in time; the next run builds the index.
    """
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        before = connection.execute(text("SHOW lock_timeout")).scalar_one()
        connection.execute(text(f"SET lock_timeout = '{BUILD_WAIT_S}s'"))
        try:
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
            connection.execute(text(f"CREATE INDEX CONCURRENTLY {name} {definition}"))
        finally:
            connection.execute(text(f"SET lock_timeout = '{before}'"))


def in_pages(statement: str) -> int:
    """Run a statement that changes a page of rows until it changes none; return how many rows it changed.

    Args:
        statement: changes at most a few thousand rows, none of them twice, e.g. `UPDATE images SET host = ... WHERE id
            IN (SELECT id FROM images WHERE host = '' LIMIT 5000)`. Each run is a transaction of its own.
    """
    changed = 0
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        while page := connection.execute(text(statement)).rowcount:
            changed += page
    return changed
