"""Command line: `DATABASE_URL=postgresql://... python -m ingest.migrate`."""

from __future__ import annotations

import os
import sys

from ingest.migrate import upgrade


def main() -> int:
    """Migrate the database named by DATABASE_URL; return the exit status."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        sys.stderr.write("ingest.migrate: DATABASE_URL is not set\n")
        return 2
    upgrade(url)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
