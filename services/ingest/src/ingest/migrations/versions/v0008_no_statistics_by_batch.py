"""Let plans not depend on whether the statistics know a batch yet."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Statistics of `batch` list the batches there were when they were made. Of any later one they expect a single row, and
# with one row every index seems as good as another: a claim, a look at progress and each outcome then read the whole
# batch, and the export's join took the square of it. Without statistics PostgreSQL expects the same share of the table
# for every batch, at all times, and takes the index that was made for the statement.
#
# Naming the type anew is the documented way to drop statistics that exist; nothing is rewritten but the partial
# indexes, which hold open images only.
_TABLES = ("images", "rows", "batch_hosts")


def upgrade() -> None:
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ALTER batch TYPE uuid, ALTER batch SET STATISTICS 0")


def downgrade() -> None:
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ALTER batch SET STATISTICS -1")
