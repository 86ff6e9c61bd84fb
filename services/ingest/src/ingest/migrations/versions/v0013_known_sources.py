"""Remember what was found behind each URL, so that the next batch need not fetch and compress it again."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE batches ADD COLUMN fresh boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE batches ADD COLUMN reused integer NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE batches ADD CONSTRAINT batches_reused_check CHECK (reused >= 0) NOT VALID")
    op.execute("ALTER TABLE batches VALIDATE CONSTRAINT batches_reused_check")
    op.execute(
        """
        CREATE TABLE known_sources (
            key bytea PRIMARY KEY CHECK (length(key) = 32),
            owner text NOT NULL,
            etag text CHECK (length(etag) <= 200),
            last_modified text CHECK (length(last_modified) <= 40),
            source_sha256 text NOT NULL CHECK (length(source_sha256) = 64),
            bytes_in bigint NOT NULL CHECK (bytes_in >= 0),
            format text NOT NULL,
            seen_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("CREATE INDEX known_sources_by_age ON known_sources (seen_at)")


def downgrade() -> None:
    op.execute("DROP TABLE known_sources")
    op.execute("ALTER TABLE batches DROP COLUMN fresh, DROP COLUMN reused")
