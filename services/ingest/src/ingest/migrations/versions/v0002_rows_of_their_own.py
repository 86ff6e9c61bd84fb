"""Let rows have options and problems of their own."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# All three are added without rewriting the tables, and code of the release before does not miss them.
_STATEMENTS = (
    "ALTER TABLE batches ADD COLUMN invalid_rows integer NOT NULL DEFAULT 0 CHECK (invalid_rows >= 0)",
    "ALTER TABLE rows ADD COLUMN problems jsonb",
    "ALTER TABLE images ADD COLUMN options jsonb",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE images DROP COLUMN options")
    op.execute("ALTER TABLE rows DROP COLUMN problems")
    op.execute("ALTER TABLE batches DROP COLUMN invalid_rows")
