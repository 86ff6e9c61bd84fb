"""Name the workbook of a report, or say why there is none; reports of before have neither."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE reports ADD COLUMN output_xlsx text, ADD COLUMN xlsx_left_out text")


def downgrade() -> None:
    op.execute("ALTER TABLE reports DROP COLUMN output_xlsx, DROP COLUMN xlsx_left_out")
