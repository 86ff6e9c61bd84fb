"""Webhook endpoints, the seeds of their secrets, deliveries to them. Adds only: the release before keeps working."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("owner", sa.Text),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("event_types", ARRAY(sa.Text)),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("disable_time", sa.DateTime(timezone=True)),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delete_time", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(disabled_reason IS NULL) = (disable_time IS NULL)", name="webhook_endpoints_disabled_with_a_time"
        ),
        sa.CheckConstraint(
            "disabled_reason IN ('PAUSED', 'GONE', 'FAILING', 'DELETED')", name="webhook_endpoints_disabled_reason"
        ),
        comment="One row per subscription; a deleted one stays for the sake of its deliveries, without secrets.",
    )
    op.create_index(
        "webhook_endpoints_by_owner",
        "webhook_endpoints",
        ["owner", "create_time"],
        postgresql_where=sa.text("delete_time IS NULL"),
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("endpoint_id", sa.Uuid, sa.ForeignKey("webhook_endpoints.id"), primary_key=True),
        sa.Column("salt", BYTEA, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True)),
        comment="Seeds of signing secrets, not the secrets; the one without expire_time is the newest.",
    )
    op.add_column("deliveries", sa.Column("endpoint_id", sa.Uuid, sa.ForeignKey("webhook_endpoints.id")))
    op.add_column("deliveries", sa.Column("earlier_attempts", sa.Integer, nullable=False, server_default="0"))
    op.create_index(
        "deliveries_by_endpoint",
        "deliveries",
        ["endpoint_id", "create_time", "id"],
        postgresql_where=sa.text("endpoint_id IS NOT NULL"),
    )
