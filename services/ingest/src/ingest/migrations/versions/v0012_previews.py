"""Count the pictures that each owner looks at in a minute."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE previews (
            owner text PRIMARY KEY,
            minute timestamptz NOT NULL,
            used integer NOT NULL
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE previews")
