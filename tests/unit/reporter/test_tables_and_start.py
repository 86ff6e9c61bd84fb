"""The OpenAPI document, the tables and the start of the reporter are what the code says."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
import requests

from chassis.settings import SettingsError, settings_rows
from localcloud.stack.dockerfile import command_from_dockerfile
from localcloud.stack.postgres import Postgres
from reporter.http.openapi import OPERATIONS, document
from reporter.migrate import upgrade
from reporter.settings import ReporterSettings
from reporter.wsgi import build
from support.reporter_service import ROOT_URL, World

DELIVERY_OF_THE_FIRST_RELEASE = """
    INSERT INTO deliveries (id, request_id, generation, type, url, url_sha256, message_id, body, state,
        next_attempt_time, sweep_time, create_time)
    VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'batch.completed', 'https://shop.test/', 'x',
        gen_random_uuid()::text, '', 'PENDING', now(), now(), now())
"""


def health_of(url: str, *, within_s: float) -> dict[str, str]:
    """Return the health of a service that is just starting."""
    deadline = time.monotonic() + within_s
    poll = threading.Event()
    while True:
        try:
            answer: dict[str, str] = requests.get(url, timeout=5).json()
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "the service did not start in time"
            poll.wait(0.05)
        else:
            return answer


def openapi_path(rule: str) -> str:
    """Return `/reports/{request_id}` for Flask's `/reports/<uuid:request_id>`."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def test_the_openapi_document_has_every_public_route(world: World) -> None:
    """Only health, the document itself and the pages that show it are not in it."""
    public = {
        (method, openapi_path(rule.rule))
        for rule in world.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith(("/internal", "/docs"))
    }

    documented = {(operation.method, operation.path) for operation in OPERATIONS}
    assert public - {("GET", "/health"), ("GET", "/openapi.json")} == documented
    assert world.client.get("/openapi.json").get_json() == document(ROOT_URL)


def test_migrations_may_run_again_and_at_once(postgres: Postgres) -> None:
    """Four at the same time, then one more: the schema is there once."""
    postgres.create_database("reporter_migrations")
    url = postgres.url("reporter_migrations")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [url] * 4))
    upgrade(url)

    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT version_num FROM alembic_version")
        versions = cursor.fetchall()
    connection.close()
    assert versions == [("0007",)]


@pytest.mark.fault("B10")
@pytest.mark.threat("T16")
def test_endpoints_are_added_under_a_running_release(postgres: Postgres) -> None:
    """What the first release wrote stays as it is, and what it goes on writing meanwhile is accepted."""
    postgres.create_database("reporter_expansion")
    url = postgres.url("reporter_expansion")
    upgrade(url, revision="0001")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(DELIVERY_OF_THE_FIRST_RELEASE)
    upgrade(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(DELIVERY_OF_THE_FIRST_RELEASE)
        cursor.execute("SELECT endpoint_id, earlier_attempts FROM deliveries")
        found = cursor.fetchall()
    connection.close()

    assert found == [(None, 0)] * 2


def test_the_migration_is_a_command(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m reporter.migrate` reads DATABASE_URL and refuses to guess it."""
    statuses = []
    for url in (migrated, ""):
        monkeypatch.setenv("DATABASE_URL", url)
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("reporter.migrate", run_name="__main__")
        statuses.append(ended.value.code)

    assert statuses == [0, 2]


def test_gunicorn_is_started_in_exec_form(repository: Path) -> None:
    """One worker with two threads more than the pool has connections; the local runner reads this very line."""
    command = command_from_dockerfile(repository / "services/reporter/Dockerfile")

    assert command[0] == "gunicorn"
    assert command[-1] == "reporter.wsgi:build()"
    assert command[command.index("--workers") + 1] == "1"
    threads = command[command.index("--threads") + 1]
    pool = next(row.default for row in settings_rows(ReporterSettings) if row.variable == "DATABASE_POOL_SIZE")
    assert int(threads) == int(pool) + 2


def test_the_dockerfiles_command_serves(
    environment: dict[str, str], repository: Path, storage_url: str, free_port: int
) -> None:
    """Gunicorn starts with nothing but the documented variables, answers /health, and ends in order on SIGTERM."""
    program, *arguments = command_from_dockerfile(repository / "services/reporter/Dockerfile")
    variables = {
        **environment,
        "PATH": os.environ["PATH"],
        "PORT": str(free_port),
        "STORAGE_EMULATOR_HOST": storage_url,
    }
    variables["CLOUD_TASKS_EMULATOR_HOST"] = "127.0.0.1:1"
    process = subprocess.Popen(
        [Path(sys.executable).with_name(program), *arguments],
        env=variables,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        health = health_of(f"http://127.0.0.1:{free_port}/health", within_s=20)
    finally:
        process.terminate()
        code = process.wait(10)

    assert health == {"status": "ok", "service": "reporter"}
    assert code == 0


@pytest.mark.fault("J4")
def test_a_bad_environment_ends_the_start_with_all_faults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, every variable named, no value shown."""
    monkeypatch.setenv("WEBHOOK_SIGNING_SECRET", "whsec_c2hvcnQ=")
    monkeypatch.setenv("DOWNLOAD_TTL_S", "604801")

    with pytest.raises(SystemExit) as ended:
        build()

    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert {line.split(": ")[1].removeprefix("bad setting ") for line in told.splitlines()} >= {
        "DATABASE_URL",
        "REPORTS_BUCKET",
        "WEBHOOK_SIGNING_SECRET",
        "DOWNLOAD_TTL_S",
    }
    assert "c2hvcnQ=" not in told


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WEBHOOK_SIGNING_SECRET", "whsec_short"),
        ("WEBHOOK_SIGNING_SECRET", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("DOWNLOAD_SIGNING_SECRET", "too short"),
        ("DOWNLOAD_TTL_S", "0"),
        ("WEBHOOK_RETRY_SCHEDULE_S", "5,-1"),
        ("WEBHOOK_RETRY_SCHEDULE_S", "5,soon"),
        ("WEBHOOK_ENDPOINT_KEYS", "too short"),
        ("WEBHOOK_ENDPOINT_KEYS", ","),
        ("WEBHOOK_ENDPOINT_KEYS", ",".join(["the-very-same-key-of-32-characters"] * 2)),
        ("WEBHOOK_SECRET_OVERLAP_S", "604801"),
        ("WEBHOOK_URL", "ftp://ops.test"),
        ("WEBHOOKS_QUEUE", "webhooks"),
        ("EGRESS_ALLOWED_NETWORKS", "everything"),
        ("REPORTER_URL", "reporter.test"),
    ],
)
def test_a_bad_setting_is_refused_by_name(environment: dict[str, str], variable: str, value: str) -> None:
    """The service does not start, and says which variable is wrong without its value if it is secret."""
    with pytest.raises(SettingsError) as refused:
        ReporterSettings.from_environ({**environment, variable: value})

    assert [fault.split(":")[0].split(".")[0] for fault in refused.value.faults] == [variable]
