"""Command line: `DATABASE_URL=postgresql://... python -m ingest.migrate`."""

from __future__ import annotations

import os

from chassis.db.migrate import main
from ingest.migrate import MIGRATIONS

if __name__ == "__main__":
    raise SystemExit(main(MIGRATIONS, os.environ))
