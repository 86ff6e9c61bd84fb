"""Let an owner's batches be found without reading everybody's."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The column is there since the first release, always NULL. An index on `owner` itself would not serve
    # `IS NOT DISTINCT FROM`; no owner is the empty text.
    op.execute("CREATE INDEX batches_by_owner ON batches ((coalesce(owner, '')), created_at DESC, request_id DESC)")


def downgrade() -> None:
    op.execute("DROP INDEX batches_by_owner")
