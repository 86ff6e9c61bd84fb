"""Count for each batch the images that became larger than their source."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Images that ended before are not counted: that would read every image while outcomes wait for the table.
    op.execute(
        """
        ALTER TABLE batches
            ADD COLUMN larger_images integer NOT NULL DEFAULT 0 CHECK (larger_images >= 0),
            ADD COLUMN larger_bytes bigint NOT NULL DEFAULT 0 CHECK (larger_bytes >= 0)
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE batches DROP COLUMN larger_images, DROP COLUMN larger_bytes")
