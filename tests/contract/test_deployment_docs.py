"""The operators' pages: their SQL runs on the real tables, their variables and numbers are the deployed ones."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

import ingest.migrate
import reporter.migrate
from contract import deployment as d
from localcloud.stack.postgres import Postgres

DOCS = d.ROOT / "docs"
PAGES = ("deploy.md", "operate.md", "cost.md", "scaling.md")
BATCH = "0b0f2a52-5e0e-4a53-9d1f-6a4a9f6f2f10"


def text_of(page: str) -> str:
    """Return a page."""
    return (DOCS / page).read_text(encoding="utf-8")


def sql_blocks() -> list[tuple[str, str]]:
    """Return the database and the statements of every SQL block of the runbook."""
    return re.findall(r"```sql\n-- (\w+)[^\n]*\n(.*?)```", text_of("operate.md"), re.DOTALL)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = Postgres(tmp_path_factory.mktemp("postgres") / "data", port, fsync=False)
    server.start()
    try:
        urls = {}
        for service, migrate in (("ingest", ingest.migrate.upgrade), ("reporter", reporter.migrate.migrate)):
            server.create_database(service)
            urls[service] = server.url(service)
            migrate(urls[service])
        yield urls
    finally:
        server.remove()


@pytest.mark.parametrize("number", range(len(sql_blocks())))
def test_sql_of_the_runbook_runs(databases: dict[str, str], number: int) -> None:
    """Every statement that an operator is told to run fits the tables as they are today."""
    service, statements = sql_blocks()[number]
    connection = psycopg2.connect(databases[service])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statements.replace(":'batch'", f"'{BATCH}'"))
    finally:
        connection.close()


def test_runbook_has_sql_for_both_databases() -> None:
    """The check above has something to check."""
    assert {service for service, _ in sql_blocks()} == {"ingest", "reporter"}


def test_deploy_page_explains_every_variable() -> None:
    """Each variable of an environment is in the table, and no other."""
    table = set(re.findall(r"^\| `(\w+)` \|", text_of("deploy.md"), re.MULTILINE))
    variables = {b.labels[0] for folder, b in d.terraform() if folder == "example" and b.type == "variable"}

    assert table == variables


def test_example_values_name_variables_that_exist() -> None:
    """terraform.tfvars.example sets what has no default."""
    text = (d.ENVIRONMENT / "terraform.tfvars.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^(\w+)\s*=", text, re.MULTILINE))
    blocks = {b.labels[0]: b.arguments for folder, b in d.terraform() if folder == "example" and b.type == "variable"}

    assert {name for name, arguments in blocks.items() if "default" not in arguments} <= named <= set(blocks)


@pytest.mark.parametrize("page", PAGES)
def test_every_path_in_a_page_exists(page: str) -> None:
    """A command that names a file of the repository names one that is there."""
    made = (
        "infra/cloudrun/rendered",
        "infra/terraform/envs/prod",
        "infra/terraform/envs/dev",
        "services/*/Dockerfile.old",
    )
    paths = set(re.findall(r"(?<![\w/$-])((?:infra|workflows|tests|services|docs|bench)/[\w./*-]*\w)", text_of(page)))
    missing = [p for p in paths if not p.startswith(made) and not list(d.ROOT.glob(p))]

    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_between_pages_resolves(page: str) -> None:
    """Relative links lead to files."""
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text_of(page)) if "://" not in link]

    assert [link for link in links if not (DOCS / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_queue_job_and_schedule_in_a_command_exists(page: str) -> None:
    """`gcloud tasks queues ...`, `run jobs execute` and `scheduler jobs ...` name what is deployed."""
    text = text_of(page)
    known = {*d.queues(), *d.schedules(), *d.manifests()}
    named = re.findall(r"gcloud tasks queues \w+ (\w+) ", text)
    named += re.findall(r"gcloud run jobs execute ([\w-]+)", text)
    named += re.findall(r"gcloud scheduler jobs \w+ ([\w-]+) ", text)
    named += re.findall(r"gcloud run services update-traffic (\w+)", text)

    assert set(named) - {"for"} <= known


def test_new_secrets_is_executable_shell() -> None:
    """The script can be started as the page says."""
    script: Path = d.TERRAFORM / "new-secrets"

    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")


def test_script_and_default_name_the_same_instance() -> None:
    """`new-secrets` writes URLs of the instance that Terraform makes unless told otherwise."""
    script = (d.TERRAFORM / "new-secrets").read_text(encoding="utf-8")

    assert set(re.findall(r"--instance=(\w+)", script)) == {d.default("example", "database_instance")}
