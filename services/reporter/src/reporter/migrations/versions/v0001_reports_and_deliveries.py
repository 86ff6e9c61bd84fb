"""Reports, deliveries and their attempts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reports",
        sa.Column("request_id", sa.Uuid, primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True),
        sa.Column("owner", sa.Text),
        sa.Column("source_name", sa.Text, nullable=False),
        sa.Column("output_csv", sa.Text, nullable=False),
        sa.Column("failed_csv", sa.Text, nullable=False),
        sa.Column("results_jsonl", sa.Text, nullable=False),
        sa.Column("row_count", sa.Integer, nullable=False),
        sa.Column("image_count", sa.Integer, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        comment="One row per published report; the objects it names exist.",
    )
    op.create_index("reports_by_owner", "reports", ["owner", "create_time"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("request_id", sa.Uuid, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("url_sha256", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False, unique=True),
        sa.Column("body", BYTEA, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_attempt_time", sa.DateTime(timezone=True)),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("sweep_time", sa.DateTime(timezone=True)),
        sa.Column("resends", sa.Integer, nullable=False, server_default="0"),
        sa.Column("end_reason", sa.Text),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("request_id", "generation", "type", "url_sha256", name="deliveries_once"),
        sa.CheckConstraint("state IN ('PENDING', 'DELIVERED', 'FAILED')", name="deliveries_state"),
        sa.CheckConstraint(
            "(state = 'PENDING') = (next_attempt_time IS NOT NULL AND sweep_time IS NOT NULL AND end_time IS NULL)",
            name="deliveries_pending_has_a_time",
        ),
        comment="One row per event and endpoint: what is sent, how often it was tried, when it is tried again.",
    )
    op.create_index("deliveries_due", "deliveries", ["sweep_time"], postgresql_where=sa.text("state = 'PENDING'"))
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", sa.Uuid, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("elapsed_ms", sa.Integer, nullable=False),
        sa.Column("status_code", sa.Integer),
        sa.Column("failure", sa.Text),
        sa.Column("answer", sa.Text, nullable=False, server_default=""),
        sa.CheckConstraint("(status_code IS NULL) <> (failure IS NULL)", name="delivery_attempts_one_outcome"),
        comment="One row per finished attempt: an HTTP status, or the code of the failure that prevented one.",
    )
