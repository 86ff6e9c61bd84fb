"""Packets are dropped on the way: nobody refuses, resets or confirms. It is 503 in time, and all is well after it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from chassis.db.engine import new_engine, transact
from chassis.errors import ApiError
from chassis.google.clients import new_executions_client, new_tasks_client
from chassis.google.storage_client import new_storage_client
from chassis.google.tasks import CloudTasksQueue
from chassis.settings import Settings
from ingest.clients.executions import WorkflowExecutions
from ingest.clients.sheet_storage import CloudSheetStorage
from localcloud.core.clock import SystemClock as IssuerClock
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.stack.storage import Storage
from support.google_platform import QUEUE, Platform
from support.packet_loss import Link, NoLinkError
from support.ports import free_port
from support.postgres_server import running_postgres
from support.tcp_proxy import TcpProxy

GENEROUS_S = 9.0
"""5 s are promised, of which a machine that is not busy uses 4 s; without bounds it would be a quarter of an hour."""

BACK_WITHIN_S = 30.0
"""Seconds after which all must work again: TCP sends what was lost again after ever longer pauses."""


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    try:
        with Link() as made:
            yield made
    except NoLinkError as error:
        pytest.skip(f"no packets can be dropped here: {error}")


@pytest.fixture
def passing(link: Link) -> Iterator[Link]:
    yield link
    link.pass_on()


@pytest.fixture(scope="module")
def engine(link: Link, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        name = f"dropped_{uuid.uuid4().hex}"
        server.create_database(name)
        with TcpProxy(server.port, link.listen()) as proxy:
            engine = new_engine(f"postgresql://postgres@{link.address}:{proxy.port}/{name}", pool_size=2)
            yield engine
            engine.dispose()


def seconds_until_503(call: Callable[[], Any]) -> float:
    """Return how long a call took to end with 503."""
    begun = time.monotonic()
    with pytest.raises(ApiError) as caught:
        call()
    assert caught.value.http_code == 503
    return time.monotonic() - begun


def works_again(call: Callable[[], Any]) -> bool:
    """Return whether a call works within the time to come back."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < deadline:
        try:
            call()
        except ApiError:
            threading.Event().wait(0.2)
        else:
            return True
    return False


def select(connection: Connection) -> None:
    """Ask something."""
    connection.execute(text("SELECT 1"))


@pytest.mark.fault("B14")
def test_a_database_behind_dropped_packets_is_503_and_is_found_again(engine: Engine, passing: Link) -> None:
    """In a transaction, on a connection that was kept, and on a new one."""

    def drop_within(connection: Connection) -> None:
        select(connection)
        passing.drop()
        select(connection)

    within = seconds_until_503(lambda: transact(engine, drop_within))
    engine.dispose()
    threading.Event().wait(1.1)  # longer than the pause in which nobody is made to wait anew
    anew = seconds_until_503(lambda: transact(engine, select))
    passing.pass_on()

    assert (within < GENEROUS_S, anew < GENEROUS_S) == (True, True)
    assert works_again(lambda: transact(engine, select))


@pytest.fixture(scope="module")
def google(link: Link, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Callable[[], Any]]]:
    """Give calls of Cloud Tasks, Workflows and Cloud Storage over the link, each of which has worked once."""
    folder: Path = tmp_path_factory.mktemp("platform")
    with ExitStack() as stack:
        platform = Platform(folder, TokenIssuer(IssuerClock()))
        platform.start()
        stack.callback(platform.stop)
        storage = Storage(folder / "storage", free_port())
        storage.start()
        stack.callback(storage.stop)
        storage.create_buckets(["things"], project="demo")
        tasks, workflows, objects = (
            stack.enter_context(TcpProxy(port, link.listen()))
            for port in (platform.tasks.port, platform.workflows.grpc_port, storage.port)
        )
        settings = Settings.model_construct(
            project="demo",
            location="us-central1",
            cloud_tasks_emulator_host=f"{link.address}:{tasks.port}",
            workflows_emulator_host=f"{link.address}:{workflows.port}",
            storage_emulator_host=f"http://{link.address}:{objects.port}",
        )
        queue = CloudTasksQueue(new_tasks_client(settings), {QUEUE: "tasks@demo"})
        workflow = "projects/demo/locations/us-central1/workflows/batch"
        executions = WorkflowExecutions(new_executions_client(settings), workflow)
        client = new_storage_client(settings)
        client.bucket("things").blob("sheet.csv").upload_from_string(b"a,b\n")
        sheets = CloudSheetStorage(client)

        def create_task() -> None:
            where = "https://compressor.test"
            queue.create(QUEUE, uuid.uuid4().hex, url=where, audience=where, body={}, dispatch_deadline_s=120)

        calls: dict[str, Callable[[], Any]] = {
            "Cloud Tasks": create_task,
            "Workflows": lambda: executions.create(uuid.uuid4()),
            "Cloud Storage": lambda: sheets.find("gs://things/sheet.csv", max_bytes=100, limit="max_sheet_bytes"),
        }
        for call in calls.values():
            call()
        yield calls


@pytest.mark.fault("J10")
def test_services_of_google_behind_dropped_packets_are_503_and_are_found_again(
    google: dict[str, Callable[[], Any]], passing: Link
) -> None:
    """On connections that were kept, and on new ones."""
    passing.drop()
    with ThreadPoolExecutor(len(google)) as threads:
        kept = list(threads.map(seconds_until_503, google.values()))
        anew = list(threads.map(seconds_until_503, google.values()))
    passing.pass_on()

    took = zip([*google, *google], [*kept, *anew], strict=True)
    assert [(name, seconds) for name, seconds in took if seconds > GENEROUS_S] == []
    assert [name for name, call in google.items() if not works_again(call)] == []
