"""Keep with each image the column of the sheet that its link stands in."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Code of the release before writes none: then it is the first column of links.
    op.execute("ALTER TABLE images ADD COLUMN sheet_column integer CHECK (sheet_column >= 0)")


def downgrade() -> None:
    op.execute("ALTER TABLE images DROP COLUMN sheet_column")
