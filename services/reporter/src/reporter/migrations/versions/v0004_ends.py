"""Let retention find reports and deliveries by their age."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("reports_by_age", "reports", ["create_time"])
    op.create_index("deliveries_by_end", "deliveries", ["end_time"], postgresql_where=sa.text("end_time IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("deliveries_by_end", "deliveries")
    op.drop_index("reports_by_age", "reports")
