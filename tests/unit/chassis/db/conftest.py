"""A PostgreSQL of their own for the chassis' database tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from localcloud.stack.postgres import Postgres
from support.postgres_server import running_postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


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
