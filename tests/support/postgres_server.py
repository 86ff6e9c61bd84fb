"""The PostgreSQL of a test run: one of its own, or the one that a run of mutants keeps for all of its test runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcloud.stack.postgres import Postgres
from support.ports import free_port

SHARED_PORT = "PRESSROOM_TEST_POSTGRES_PORT"
"""Variable with the port of a server that is there already; databases in it may be, too."""


@contextmanager
def running_postgres(folder: Path) -> Iterator[Postgres]:
    """Give a server that runs; the one that was started here is removed at the end."""
    shared = os.environ.get(SHARED_PORT)
    if shared:
        yield Postgres(folder, int(shared))
        return
    server = Postgres(folder, free_port(), fsync=False)
    try:
        server.start()
        yield server
    finally:
        server.remove()
