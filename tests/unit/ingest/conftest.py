"""Ingest under test: one PostgreSQL and one token issuer for all, a laboratory for each test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Engine

from chassis.db.engine import new_engine
from ingest.migrate import upgrade
from localcloud.core.clock import SystemClock as IssuerClock
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.stack.postgres import Postgres
from support.ingest_service import Lab, MakeLab
from support.ports import free_port
from support.postgres_server import running_postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def unused_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def migrated_url(postgres: Postgres) -> str:
    postgres.create_database("ingest")
    upgrade(postgres.url("ingest"))
    return postgres.url("ingest")


@pytest.fixture(scope="session")
def engine(migrated_url: str) -> Iterator[Engine]:
    engine = new_engine(migrated_url, pool_size=32)
    yield engine
    engine.dispose()


@pytest.fixture
def empty_database(migrated_url: str, engine: Engine) -> Engine:
    """Give a migrated database without rows."""
    connection = psycopg2.connect(migrated_url)
    try:
        with connection, connection.cursor() as cursor:
            # Rows and outbox go with the batches; on tables this small it is faster than TRUNCATE.
            for table in ("images", "batches", "hosts", "idempotency_keys", "known_sources"):
                cursor.execute(f"DELETE FROM {table}")
    finally:
        connection.close()
    return engine


@pytest.fixture
def own_time_engine(migrated_url: str, empty_database: Engine) -> Iterator[Engine]:
    """Give an engine of the empty database for `bench.simulation`, which sets its time."""
    engine = new_engine(migrated_url, pool_size=8)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def issuer() -> TokenIssuer:
    return TokenIssuer(IssuerClock())


@pytest.fixture(scope="session")
def certs_url(issuer: TokenIssuer) -> Iterator[str]:
    body = json.dumps(issuer.certificates()).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/certs"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def make_lab(empty_database: Engine, certs_url: str, issuer: TokenIssuer) -> MakeLab:
    def make(**overrides: str) -> Lab:
        return Lab(empty_database, certs_url, issuer, overrides)

    return make


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    return make_lab()
