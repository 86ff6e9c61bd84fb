"""Count the slots that share another's download, and find the batches of a host."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The count is that of the sheet: a retry that separates duplicates does not change what was spared.
_STATEMENTS = (
    "ALTER TABLE batches ADD COLUMN deduplicated integer NOT NULL DEFAULT 0 CHECK (deduplicated >= 0)",
    """
    UPDATE batches SET deduplicated = found.count
    FROM (SELECT batch, count(*) FROM images WHERE same_as IS NOT NULL GROUP BY batch) AS found
    WHERE batches.request_id = found.batch
    """,
    "CREATE INDEX batch_hosts_by_host ON batch_hosts (host)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX batch_hosts_by_host")
    op.execute("ALTER TABLE batches DROP COLUMN deduplicated")
