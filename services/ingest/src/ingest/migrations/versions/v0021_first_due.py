"""Keep where the due images of a batch's host begin, and vacuum images before much of them is dead."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE batch_hosts ADD COLUMN due_from timestamptz NOT NULL DEFAULT '-infinity'")
    op.execute("ALTER TABLE batch_hosts ADD COLUMN due_row integer NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE images SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 50000)")


def downgrade() -> None:
    op.execute("ALTER TABLE images RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)")
    op.execute("ALTER TABLE batch_hosts DROP COLUMN due_row")
    op.execute("ALTER TABLE batch_hosts DROP COLUMN due_from")
