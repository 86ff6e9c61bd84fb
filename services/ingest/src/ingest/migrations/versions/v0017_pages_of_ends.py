"""End and delete the images of a large batch a page at a time: note how far each is."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE batches ADD COLUMN ended_row integer NOT NULL DEFAULT 0, ADD COLUMN deleted_row integer")


def downgrade() -> None:
    op.execute("ALTER TABLE batches DROP COLUMN ended_row, DROP COLUMN deleted_row")
