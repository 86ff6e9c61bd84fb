"""Index what is asked by state, by lease and by deletion: no query reads more than it answers."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE INDEX deliveries_by_endpoint_and_state ON deliveries (endpoint_id, state, create_time, id)
        WHERE endpoint_id IS NOT NULL
    """,
    "CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE lease_until IS NOT NULL",
    "CREATE INDEX webhook_endpoints_deleted ON webhook_endpoints (delete_time) WHERE delete_time IS NOT NULL",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for index in ("webhook_endpoints_deleted", "deliveries_leased", "deliveries_by_endpoint_and_state"):
        op.execute(f"DROP INDEX {index}")
