"""Count for each host of a batch what it saved, and find the images without an output in the order of rows."""

from __future__ import annotations

from alembic import op

from chassis.db.tables_in_use import create_index

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Images that ended before are not counted by host: that would read every image while outcomes wait for the table.
    op.execute(
        """
        ALTER TABLE batch_hosts
            ADD COLUMN succeeded integer NOT NULL DEFAULT 0,
            ADD COLUMN bytes_in bigint NOT NULL DEFAULT 0,
            ADD COLUMN bytes_out bigint NOT NULL DEFAULT 0
        """
    )
    create_index("images_without_output", "ON images (batch, row_number, slot) WHERE status IN ('FAILED', 'CANCELLED')")


def downgrade() -> None:
    op.execute("DROP INDEX images_without_output")
    op.execute("ALTER TABLE batch_hosts DROP COLUMN succeeded, DROP COLUMN bytes_in, DROP COLUMN bytes_out")
