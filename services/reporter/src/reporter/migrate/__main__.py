"""Command line: `DATABASE_URL=postgresql://... python -m reporter.migrate`."""

from __future__ import annotations

import os

from chassis.db.migrate import main
from reporter.migrate import MIGRATIONS

if __name__ == "__main__":
    raise SystemExit(main(MIGRATIONS, os.environ))
