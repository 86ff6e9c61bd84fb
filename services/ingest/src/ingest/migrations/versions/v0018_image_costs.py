"""Measure what the images of a batch take in the codec, for the fair share of its owner."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE batches
            ADD COLUMN image_cost_s float8 NOT NULL DEFAULT 0,
            ADD COLUMN costed integer NOT NULL DEFAULT 0
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE batches DROP COLUMN image_cost_s, DROP COLUMN costed")
