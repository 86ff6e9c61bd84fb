"""Measure how many images of a batch end in a second, for the window of its tasks."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE batches
            ADD COLUMN measured_at timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN measured_ended integer NOT NULL DEFAULT 0,
            ADD COLUMN images_per_s float8 NOT NULL DEFAULT 0
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE batches DROP COLUMN measured_at, DROP COLUMN measured_ended, DROP COLUMN images_per_s")
