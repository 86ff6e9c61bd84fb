"""Let the outbox announce that a batch was accepted and that it started."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Sweeps of the release before stop at a kind they do not know; those of this one do its work meanwhile.
_CHANGE = """
    ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check CHECK (kind IN ({kinds}))
"""


def upgrade() -> None:
    op.execute(_CHANGE.format(kinds="'start', 'notify', 'accepted', 'started'"))


def downgrade() -> None:
    op.execute("DELETE FROM outbox WHERE kind IN ('accepted', 'started')")
    op.execute(_CHANGE.format(kinds="'start', 'notify'"))
