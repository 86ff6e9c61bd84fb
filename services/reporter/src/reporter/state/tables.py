"""The reporter's tables. The migrations make them; a test compares the two."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

metadata = sa.MetaData()

reports = sa.Table(
    "reports",
    metadata,
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
    sa.Index("reports_by_owner", "owner", "create_time"),
    sa.Index("reports_by_age", "create_time"),
    comment="One row per published report; the objects it names exist.",
)

endpoints = sa.Table(
    "webhook_endpoints",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("owner", sa.Text),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    # NULL: all of them, also those that later releases add.
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
    sa.Index("webhook_endpoints_by_owner", "owner", "create_time", postgresql_where=sa.text("delete_time IS NULL")),
    comment="One row per subscription; a deleted one stays for the sake of its deliveries, without secrets.",
)

endpoint_secrets = sa.Table(
    "webhook_secrets",
    metadata,
    sa.Column("endpoint_id", sa.Uuid, sa.ForeignKey("webhook_endpoints.id"), primary_key=True),
    sa.Column("salt", BYTEA, primary_key=True),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    comment="Seeds of signing secrets, not the secrets; the one without expire_time is the newest.",
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("request_id", sa.Uuid, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    # A URL may be longer than an index entry, so the unique key holds its digest; of an endpoint, that of its id.
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
    # NULL: the URL of a batch or of the deployment, signed with the deployment's secret.
    sa.Column("endpoint_id", sa.Uuid, sa.ForeignKey("webhook_endpoints.id")),
    # The schedule begins anew with each redelivery, while the numbers of the attempts go on.
    sa.Column("earlier_attempts", sa.Integer, nullable=False, server_default="0"),
    # Whose batch the event is about: said by whoever notifies, as a batch need not have a report yet.
    sa.Column("owner", sa.Text),
    sa.UniqueConstraint("request_id", "generation", "type", "url_sha256", name="deliveries_once"),
    sa.CheckConstraint("state IN ('PENDING', 'DELIVERED', 'FAILED')", name="deliveries_state"),
    sa.CheckConstraint(
        "(state = 'PENDING') = (next_attempt_time IS NOT NULL AND sweep_time IS NOT NULL AND end_time IS NULL)",
        name="deliveries_pending_has_a_time",
    ),
    sa.Index("deliveries_due", "sweep_time", postgresql_where=sa.text("state = 'PENDING'")),
    sa.Index("deliveries_by_end", "end_time", postgresql_where=sa.text("end_time IS NOT NULL")),
    sa.Index(
        "deliveries_by_endpoint",
        "endpoint_id",
        "create_time",
        "id",
        postgresql_where=sa.text("endpoint_id IS NOT NULL"),
    ),
    comment="One row per event and endpoint: what is sent, how often it was tried, when it is tried again.",
)

attempts = sa.Table(
    "delivery_attempts",
    metadata,
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


def page_of(query: sa.Select[Any], *, limit: int) -> sa.Select[Any]:
    """Return the first rows of a query, locked; rows that others hold are passed over.

    To be used in `IN (...)`. As a plain subquery it could be run once for each row of the outer table, as the planner
    likes, and would bring another page each time; a materialized one is run once.
    """
    page = query.limit(limit).with_for_update(skip_locked=True).cte("page")
    return sa.select(page.prefix_with("MATERIALIZED"))
