"""Keep how far the import of a large sheet is: its rows are written in chunks."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Validated by itself, which lets others write.
    op.execute(
        """
        ALTER TABLE batches DROP CONSTRAINT batches_status_check, DROP CONSTRAINT ended_is_sealed,
            ADD CONSTRAINT batches_status_check CHECK (status IN (
                'IMPORTING', 'PENDING', 'PROCESSING', 'SEALING', 'COMPLETED', 'COMPLETED_WITH_ERRORS', 'FAILED',
                'CANCELLED')) NOT VALID,
            ADD CONSTRAINT ended_is_sealed CHECK (
                (status IN ('IMPORTING', 'PENDING', 'PROCESSING', 'SEALING')) = (finished_at IS NULL)
                AND (finished_at IS NULL OR sealed_at IS NOT NULL)) NOT VALID
        """
    )
    op.execute("ALTER TABLE batches VALIDATE CONSTRAINT batches_status_check")
    op.execute("ALTER TABLE batches VALIDATE CONSTRAINT ended_is_sealed")
    op.execute(
        """
        CREATE TABLE imports (
            batch uuid PRIMARY KEY REFERENCES batches (request_id) ON DELETE CASCADE,
            csv_uri text NOT NULL,
            object_generation bigint NOT NULL,
            asked jsonb NOT NULL,
            way jsonb,
            rows_checked integer NOT NULL DEFAULT 0 CHECK (rows_checked >= 0),
            rows_stored integer NOT NULL DEFAULT 0 CHECK (rows_stored >= 0),
            images_stored integer NOT NULL DEFAULT 0 CHECK (images_stored >= 0),
            failed_stored integer NOT NULL DEFAULT 0 CHECK (failed_stored >= 0),
            invalid_stored integer NOT NULL DEFAULT 0 CHECK (invalid_stored >= 0),
            warnings jsonb NOT NULL DEFAULT '[]',
            warning_count integer NOT NULL DEFAULT 0 CHECK (warning_count >= 0),
            finished_at timestamptz
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE imports")
    op.execute("DELETE FROM batches WHERE status = 'IMPORTING'")
    op.execute(
        """
        ALTER TABLE batches DROP CONSTRAINT batches_status_check, DROP CONSTRAINT ended_is_sealed,
            ADD CONSTRAINT batches_status_check CHECK (status IN (
                'PENDING', 'PROCESSING', 'SEALING', 'COMPLETED', 'COMPLETED_WITH_ERRORS', 'FAILED', 'CANCELLED')),
            ADD CONSTRAINT ended_is_sealed CHECK (
                (status IN ('PENDING', 'PROCESSING', 'SEALING')) = (finished_at IS NULL)
                AND (finished_at IS NULL OR sealed_at IS NOT NULL))
        """
    )
