"""Real PostgreSQL and a real storage emulator for the whole run; everything else fresh for each test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs  # type: ignore[attr-defined]

from localcloud.stack.postgres import Postgres
from localcloud.stack.storage import Storage
from reporter.app import create_app
from reporter.migrate import upgrade
from reporter.settings import ReporterSettings
from reporter.wsgi import assemble
from support.database_clock import prepare_database_clock, set_database_clock
from support.ports import free_port
from support.postgres_server import running_postgres
from support.reporter_service import (
    INGEST,
    ROOT_URL,
    SCHEDULER,
    SECRET,
    TASKS,
    WORKFLOW,
    HandClock,
    MemoryQueue,
    NamedTokens,
    ScriptedIngest,
    SteppedClock,
    Subscriber,
    World,
    certificates,
    loopback,
)

BUCKET = "reports-under-test"


@pytest.fixture(name="free_port")
def _free_port_fixture() -> int:
    """Give a port nobody listens on."""
    return free_port()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Give a started PostgreSQL server."""
    with running_postgres(tmp_path_factory.mktemp("reporter-postgres") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """Give the URL of a migrated database."""
    postgres.create_database("reporter")
    upgrade(postgres.url("reporter"))
    prepare_database_clock(postgres.url("reporter"))
    return postgres.url("reporter")


@pytest.fixture
def database_url(migrated: str) -> str:
    """Give an empty migrated database."""
    connection = psycopg2.connect(migrated)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM delivery_attempts; DELETE FROM deliveries; DELETE FROM webhook_secrets;"
                " DELETE FROM webhook_endpoints; DELETE FROM reports"
            )
    finally:
        connection.close()
    return migrated


@pytest.fixture(scope="session")
def storage_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a storage emulator with our bucket."""
    server = Storage(tmp_path_factory.mktemp("reporter-storage"), free_port())
    server.start()
    try:
        server.create_buckets([BUCKET], project="demo")
        yield server.base_url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def storage_client(storage_url: str) -> Iterator[Any]:
    """Give Google's client for the emulator."""
    client = gcs.Client(
        project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": storage_url}
    )
    yield client
    client.close()


@pytest.fixture(scope="session")
def certs_url() -> Iterator[str]:
    """Give the URL of the issuer's certificates."""
    with loopback(certificates) as url:
        yield f"{url}/oauth2/v1/certs"


@pytest.fixture
def ingest() -> Iterator[ScriptedIngest]:
    """Give an ingest that serves scripted exports."""
    scripted = ScriptedIngest()
    with loopback(scripted.handle) as url:
        scripted.url = url
        yield scripted


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    """Give a webhook receiver."""
    receiver = Subscriber()
    with loopback(receiver.handle) as url:
        receiver.url = f"{url}/hooks"
        yield receiver


@pytest.fixture
def environment(database_url: str, certs_url: str, ingest: ScriptedIngest) -> dict[str, str]:
    """Give the service's environment variables."""
    return {
        "GOOGLE_CLOUD_PROJECT": "demo",
        "GOOGLE_CLOUD_LOCATION": "us-central1",
        "AUTH_CERTS_URL": certs_url,
        "DATABASE_URL": database_url,
        "REPORTER_URL": ROOT_URL,
        "REPORTER_INTERNAL_URL": ROOT_URL,
        "INGEST_INTERNAL_URL": ingest.url,
        "REPORTS_BUCKET": BUCKET,
        "WEBHOOKS_QUEUE": "projects/demo/locations/us-central1/queues/webhooks",
        "WORKFLOW_SERVICE_ACCOUNT": WORKFLOW,
        "INGEST_SERVICE_ACCOUNT": INGEST,
        "TASKS_SERVICE_ACCOUNT": TASKS,
        "SCHEDULER_SERVICE_ACCOUNT": SCHEDULER,
        "DOWNLOAD_SIGNING_SECRET": "not-a-secret-just-32-characters!",
        "WEBHOOK_SIGNING_SECRET": SECRET,
        "WEBHOOK_ENDPOINT_KEYS": "not-a-key-but-32-characters-long",
        "EGRESS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WEBHOOK_TIMEOUT_S": "5",
    }


@pytest.fixture
def make_world(
    environment: dict[str, str], ingest: ScriptedIngest, storage_client: Any
) -> Iterator[Callable[..., World]]:
    """Give a maker of services; keyword arguments are further environment variables."""
    with ExitStack() as stack:

        def make(*, queue: Any = None, resolve: Any = socket.getaddrinfo, **variables: str) -> World:
            settings = ReporterSettings.from_environ({**environment, **variables})
            clock, memory = HandClock(), MemoryQueue()
            service_clock = SteppedClock(clock)
            dependencies = assemble(
                settings,
                clock=service_clock,
                queue=queue or memory,
                storage_client=storage_client,
                tokens=NamedTokens(),
                jitter=lambda: 0.5,
                resolve=resolve,
            )
            set_database_clock(dependencies.engine, clock.now)
            stack.callback(dependencies.engine.dispose)
            app = create_app(dependencies)
            app.testing = False
            bucket = storage_client.bucket(BUCKET)
            return World(app, dependencies, settings, clock, service_clock, memory, ingest, storage_client, bucket)

        yield make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Give the service with default settings."""
    return make_world()


@pytest.fixture(scope="session")
def repository() -> Path:
    """Give the folder of the checkout."""
    return Path(__file__).resolve().parents[3]


@pytest.fixture
def hold() -> Iterator[Callable[[], None]]:
    """Give a function that blocks a server's thread until the test is over (at most 10 s)."""
    over = threading.Event()

    def wait() -> None:
        over.wait(10)

    yield wait
    over.set()
