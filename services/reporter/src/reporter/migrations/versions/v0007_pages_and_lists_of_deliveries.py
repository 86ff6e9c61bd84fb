"""Name the page of a report (reports of before have none), and list deliveries without naming a batch."""

from __future__ import annotations

from alembic import op

from chassis.db.tables_in_use import create_index

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE reports ADD COLUMN report_html text")
    create_index("deliveries_newest", "ON deliveries (create_time DESC, id DESC)")
    create_index("deliveries_by_owner", "ON deliveries ((coalesce(owner, '')), create_time DESC, id DESC)")


def downgrade() -> None:
    op.execute("DROP INDEX deliveries_by_owner")
    op.execute("DROP INDEX deliveries_newest")
    op.execute("ALTER TABLE reports DROP COLUMN report_html")
