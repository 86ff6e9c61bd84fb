"""A PostgreSQL of their own for the chassis' database tests."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator

import pytest

from localcloud.stack.postgres import Postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Postgres(tmp_path_factory.mktemp("postgres"), port, fsync=False)
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture
def database(postgres: Postgres) -> str:
    """Give the name of an empty database."""
    name = f"db_{uuid.uuid4().hex}"
    postgres.create_database(name)
    return name


@pytest.fixture
def url(postgres: Postgres, database: str) -> str:
    """Give the URL of an empty database."""
    return postgres.url(database)
