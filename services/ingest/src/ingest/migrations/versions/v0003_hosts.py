"""Let images carry their host, and hosts have a state of their own."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Code of the release before inserts images without a host and batches without `batch_hosts`: the first claim of such a
# batch makes up for it, under the host "". `images_due` begins with the host because claims take a few images of each
# host, and because a finished image hands its place on to the next one of its host, whatever the batch.
_STATEMENTS = (
    "ALTER TABLE images ADD COLUMN host text NOT NULL DEFAULT ''",
    """
    UPDATE images
    SET host = regexp_replace(lower(substring(input_url FROM '^[A-Za-z]+://([^/?#]+)')), '[.]?(:(80|443)?)?$', '')
    """,
    """
    CREATE TABLE hosts (
        host text PRIMARY KEY,
        next_start_at timestamptz NOT NULL DEFAULT now(),
        blocked_until timestamptz NOT NULL DEFAULT now(),
        failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
        opened_at timestamptz,
        waiting boolean NOT NULL DEFAULT false
    )
    """,
    """
    CREATE TABLE batch_hosts (
        batch uuid NOT NULL REFERENCES batches (request_id) ON DELETE CASCADE,
        host text NOT NULL,
        images integer NOT NULL CHECK (images >= 0),
        requests bigint NOT NULL DEFAULT 0 CHECK (requests >= 0),
        failures bigint NOT NULL DEFAULT 0 CHECK (failures >= 0),
        PRIMARY KEY (batch, host)
    )
    """,
    "INSERT INTO hosts (host) SELECT DISTINCT host FROM images",
    "INSERT INTO batch_hosts (batch, host, images) SELECT batch, host, count(*) FROM images GROUP BY batch, host",
    "DROP INDEX images_due",
    """
    CREATE INDEX images_due ON images (host, batch, next_at, row_number, slot)
        WHERE status = 'PENDING' AND same_as IS NULL
    """,
    "CREATE INDEX images_in_flight ON images (host) WHERE status = 'DISPATCHED'",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX images_in_flight")
    op.execute("DROP INDEX images_due")
    op.execute(
        "CREATE INDEX images_due ON images (batch, next_at, row_number, slot)"
        " WHERE status = 'PENDING' AND same_as IS NULL"
    )
    op.execute("DROP TABLE batch_hosts")
    op.execute("DROP TABLE hosts")
    op.execute("ALTER TABLE images DROP COLUMN host")
