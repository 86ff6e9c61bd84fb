"""Keep what a batch would take when it was read, and what that assumed."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE batches ADD COLUMN estimate jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE batches DROP COLUMN estimate")
