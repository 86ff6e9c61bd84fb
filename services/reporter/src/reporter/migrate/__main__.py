"""Command line: `DATABASE_URL=postgresql://... python -m reporter.migrate`."""

from __future__ import annotations

import os
import sys

from reporter.migrate import migrate

database_url = os.environ.get("DATABASE_URL", "")
if not database_url:
    sys.exit("reporter.migrate: DATABASE_URL is not set")
migrate(database_url)
