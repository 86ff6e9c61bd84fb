"""Ingest under test: the real application on a real PostgreSQL, real tokens, hand-written neighbours with a memory."""

from __future__ import annotations

import io
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from sqlalchemy import Engine, text

from chassis.clock import SystemClock
from chassis.database import new_engine
from chassis.identity import CallerGuard
from ingest.app import create_app
from ingest.batches import Batch
from ingest.dependencies import Dependencies
from ingest.errors import Reason, not_found, unavailable
from ingest.migrate import upgrade
from ingest.reporter import Report
from ingest.settings import IngestSettings
from localcloud.clock import SystemClock as IssuerClock
from localcloud.identity.issuer import TokenIssuer
from localcloud.stack.postgres import Postgres

CONTRACTS = Path(__file__).parents[3] / "workflows" / "contracts"
WORKFLOW = "projects/demo/locations/us-central1/workflows/batch"
ACCOUNTS = {name: f"{name}@demo.iam.gserviceaccount.com" for name in ("workflow", "tasks", "scheduler", "compressor")}
ACCOUNTS["reporter"] = "reporter@demo.iam.gserviceaccount.com"
INGEST_URL = "http://ingest.test"


class FakeExecutions:
    """An Executions API with a memory; `down` makes every call fail."""

    def __init__(self) -> None:
        self.created: list[tuple[UUID, str]] = []
        self.live: set[str] = set()
        self.asked: list[str] = []
        self.down = False
        self.before_answer: Callable[[], None] = lambda: None

    def create(self, request_id: UUID) -> str:
        """Start an execution that lives until it is removed from `live`."""
        self._check()
        name = f"{WORKFLOW}/executions/{uuid.uuid4()}"
        self.created.append((request_id, name))
        self.live.add(name)
        return name

    def is_live(self, execution: str) -> bool:
        """Answer from memory."""
        self._check()
        self.asked.append(execution)
        answer = execution in self.live
        self.before_answer()
        return answer

    def _check(self) -> None:
        if self.down:
            raise unavailable(Reason.EXECUTIONS_UNAVAILABLE, "down")


class FakeTasks:
    """A Cloud Tasks that remembers tasks by name."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.calls = 0
        self.down = False

    def create(
        self,
        queue: str,
        task_id: str,
        *,
        url: str,
        audience: str,
        body: Mapping[str, Any],
        dispatch_deadline_s: int,  # noqa: ARG002
    ) -> None:
        """Keep the task unless its name is known."""
        self.calls += 1
        if self.down:
            raise unavailable(Reason.TASKS_UNAVAILABLE, "down")
        self.tasks.setdefault(f"{queue}/tasks/{task_id}", {"url": url, "audience": audience, "body": dict(body)})

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """Return the bodies of the tasks for a path."""
        return [task["body"] for task in list(self.tasks.values()) if task["url"].endswith(path)]


class FakeCallbacks:
    """Remembers which batches were announced as sealed."""

    def __init__(self) -> None:
        self.sealed: list[UUID] = []

    def batch_sealed(self, batch: Batch) -> None:
        """Remember the batch."""
        self.sealed.append(batch.request_id)


class FakeStorage:
    """Objects by URI."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads = 0

    def read(self, uri: str, *, max_bytes: int) -> bytes:  # noqa: ARG002
        """Return the object."""
        self.reads += 1
        if uri not in self.objects:
            raise not_found(Reason.SHEET_NOT_FOUND, f"There is no object {uri}.")
        return self.objects[uri]


class FakeReporter:
    """Remembers what it was asked; `down` makes every call fail."""

    def __init__(self) -> None:
        self.published: list[UUID] = []
        self.notified: list[dict[str, Any]] = []
        self.down = False

    def publish(self, request_id: UUID) -> Report:
        """Say where the report is."""
        if self.down:
            raise unavailable("PEER_UNAVAILABLE", "down")
        self.published.append(request_id)
        return Report(f"gs://results/{request_id}/output.csv", f"http://reporter.test/reports/{request_id}/output.csv")

    def notify(self, ending: Mapping[str, Any], download_url: str | None) -> None:
        """Remember the notification."""
        if self.down:
            raise unavailable("PEER_UNAVAILABLE", "down")
        self.notified.append({**ending, "download_url": download_url})


class Answered:
    """An answer of ingest, with its JSON checked where a contract is known."""

    def __init__(self, response: Any) -> None:
        self.code = int(response.status_code)
        self.headers = response.headers
        self.json: dict[str, Any] = response.get_json(silent=True) or {}
        self.text = response.get_data(as_text=True)

    @property
    def reason(self) -> str:
        """Return the reason of an error."""
        return str(self.json["error"]["details"][0]["reason"])


class Lab:
    """The service, its neighbours and verbs for what they do to it."""

    def __init__(self, database_url: str, certs_url: str, issuer: TokenIssuer, overrides: dict[str, str]) -> None:
        environ = {
            "GOOGLE_CLOUD_PROJECT": "demo",
            "GOOGLE_CLOUD_LOCATION": "us-central1",
            "AUTH_CERTS_URL": certs_url,
            "DATABASE_URL": database_url,
            "INGEST_URL": INGEST_URL,
            "COMPRESSOR_URL": "http://compressor.test",
            "REPORTER_URL": "http://reporter.test",
            "WORKFLOW_ID": "batch",
            "BATCHES_QUEUE": "projects/demo/locations/us-central1/queues/batches",
            "IMAGES_QUEUE": "projects/demo/locations/us-central1/queues/images",
            **{f"{name.upper()}_SERVICE_ACCOUNT": email for name, email in ACCOUNTS.items()},
            **overrides,
        }
        self.settings = IngestSettings.from_environ(environ)
        self.engine: Engine = new_engine(database_url, pool_size=32)
        self.issuer = issuer
        self.executions = FakeExecutions()
        self.tasks = FakeTasks()
        self.callbacks = FakeCallbacks()
        self.storage = FakeStorage()
        self.reporter = FakeReporter()
        clock = SystemClock()
        self.dependencies = Dependencies(
            settings=self.settings,
            engine=self.engine,
            clock=clock,
            guard=CallerGuard(audience=INGEST_URL, certs_url=certs_url, mode="verify", clock=clock),
            executions=self.executions,
            tasks=self.tasks,
            callbacks=self.callbacks,
            storage=self.storage,
            reporter=self.reporter,
        )
        self.app: Flask = create_app(self.dependencies)
        self._tokens: dict[str, str] = {}

    def client(self) -> FlaskClient:
        """Return a fresh client; one per thread."""
        return self.app.test_client()

    def token(self, caller: str) -> str:
        """Return the Authorization header of a service account."""
        if caller not in self._tokens:
            self._tokens[caller] = self.issuer.mint_id_token(ACCOUNTS[caller], INGEST_URL)
        return f"Bearer {self._tokens[caller]}"

    def get(self, path: str, **query: Any) -> Answered:
        """GET a public route."""
        return Answered(self.client().get(path, query_string=query or None))

    def post(self, path: str, body: Any) -> Answered:
        """POST JSON to a public route."""
        return Answered(self.client().post(path, json=body))

    def upload(
        self, sheet: str | bytes, *, headers: dict[str, str] | None = None, field: str = "file", **form: Any
    ) -> Answered:
        """Upload a sheet."""
        content = sheet.encode() if isinstance(sheet, str) else sheet
        data = {**form, field: (io.BytesIO(content), "products.csv")}
        return Answered(self.client().post("/upload", data=data, headers=headers or {}))

    def submit(self, *cells: str) -> str:
        """Upload a sheet with one row per cell of URLs and return its id."""
        answer = self.upload(sheet_of(*cells))
        assert answer.code == 202, answer.text
        return str(answer.json["request_id"])

    def internal(self, caller: str, method: str, path: str, body: Any = None, **query: Any) -> Answered:
        """Call an internal route as a service account; known payloads are checked against their contracts."""
        request, answer = _contract_of(path)
        if request and body is not None:
            check_contract(request, body)
        answered = Answered(
            self.client().open(
                path,
                method=method,
                json=body,
                query_string=query,
                headers={"Authorization": self.token(caller)},
            )
        )
        if answered.code == 200 and answer:
            check_contract(answer, answered.json)
        if answered.code >= 400:
            check_contract("error", answered.json)
        return answered

    def new_execution(self) -> str:
        """Return the name of an execution that lives."""
        name = f"{WORKFLOW}/executions/{uuid.uuid4()}"
        self.executions.live.add(name)
        return name

    def start(self, request_id: str, execution: str | None = None) -> str:
        """Make an execution the owner and return its name."""
        execution = execution or self.new_execution()
        answer = self.batch_call(request_id, "start", execution=execution, callback_url="http://callback.test/x")
        assert answer.json["owner"] is True, answer.text
        return execution

    def batch_call(self, request_id: str, verb: str, **body: Any) -> Answered:
        """POST to a route of the workflow."""
        return self.internal("workflow", "POST", f"/internal/batches/{request_id}/{verb}", body)

    def claim(self, request_id: str, execution: str, max_rows: int = 100) -> list[dict[str, Any]]:
        """Claim a page and return the payloads."""
        page = self.batch_call(request_id, "claim", execution=execution, max_rows=max_rows)
        assert page.code == 200, page.text
        return [image["payload"] for row in page.json["rows"] for image in row["images"]]

    def progress(self, request_id: str, execution: str) -> dict[str, Any]:
        """Read the progress."""
        path = f"/internal/batches/{request_id}/progress"
        answer = self.internal("workflow", "GET", path, execution=execution)
        assert answer.code == 200, answer.text
        return answer.json

    def outcome_of(self, payload: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        """Return the body of an outcome report: a success unless changed."""
        return outcome_of(payload, **changes)

    def report(self, payload: Mapping[str, Any], **changes: Any) -> Answered:
        """Report the outcome of an attempt: a success unless changed."""
        body = outcome_of(payload, **changes)
        return self.internal("compressor", "PUT", f"/internal/images/{payload['image_id']}/outcome", body)

    def sweep(self) -> dict[str, int]:
        """Sweep once."""
        answer = self.internal("scheduler", "POST", "/internal/sweep", {})
        assert answer.code == 200, answer.text
        return dict(answer.json["swept"])

    def status(self, request_id: str) -> dict[str, Any]:
        """Read the public status."""
        answer = self.get(f"/status/{request_id}")
        assert answer.code == 200, answer.text
        return answer.json

    def batch_row(self, request_id: str) -> Mapping[str, Any]:
        """Return the row of `batches`."""
        return self.rows("SELECT * FROM batches WHERE request_id = :id", id=request_id)[0]

    def rows(self, query: str, **values: Any) -> list[Mapping[str, Any]]:
        """Read the database."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def change(self, statement: str, **values: Any) -> None:
        """Change the database, for instance move a time into the past."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def finish_all(self, request_id: str) -> str:
        """Run a batch to its end with every image a success; return the execution."""
        execution = self.start(request_id)
        while payloads := self.claim(request_id, execution):
            for payload in payloads:
                assert self.report(payload).code == 200
        assert self.finish(request_id, execution).code == 200
        return execution

    def finish(self, request_id: str, execution: str) -> Answered:
        """Finish a sealed batch."""
        return self.batch_call(request_id, "finish", execution=execution, report_uri="gs://results/output.csv")


def sheet_of(*cells: str) -> str:
    """Return a sheet with the seed's columns and one row per cell of URLs."""
    lines = [f'{number},Product {number},"{cell}"' for number, cell in enumerate(cells, 1)]
    return "\r\n".join(["S. No.,Product Name,Input Image Urls", *lines]) + "\r\n"


def outcome_of(payload: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the body of an outcome report: a success unless changed."""
    succeeded = changes.get("outcome", "SUCCEEDED") == "SUCCEEDED"
    values = {
        "request_id": payload["request_id"],
        "attempt": payload["attempt"],
        "outcome": "SUCCEEDED",
        "code": "OK" if succeeded else "HTTP_404",
        "detail": "",
        "transient": False,
        "retry_after_s": None,
        "output_url": f"http://storage.test/{payload['image_id']}.jpg" if succeeded else None,
        "bytes_in": 1000,
        "bytes_out": 400 if succeeded else None,
        "width": 10,
        "height": 20,
        "format": "jpeg",
        "sha256": "ab" * 32,
        "duration_ms": 7,
    }
    return values | changes


def check_contract(name: str, value: Any) -> None:
    """Fail when a payload does not keep its JSON Schema."""
    schema = json.loads((CONTRACTS / f"{name}.schema.json").read_text())
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def _contract_of(path: str) -> tuple[str, str]:
    verb = path.rpartition("/")[2]
    if verb in {"start", "claim", "finish", "fail", "release", "outcome"}:
        return f"{verb}_request", f"{verb}_response"
    return {
        "progress": ("", "progress_response"),
        "imports": ("import_request", "import_response"),
        "sweep": ("", "sweep_response"),
    }.get(verb, ("", ""))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres") / "data", free_port(), fsync=False)
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def unused_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def migrated_url(postgres: Postgres) -> str:
    postgres.create_database("ingest")
    upgrade(postgres.url("ingest"))
    return postgres.url("ingest")


@pytest.fixture
def database_url(migrated_url: str) -> str:
    """Give a migrated database without rows."""
    connection = psycopg2.connect(migrated_url)
    try:
        with connection, connection.cursor() as cursor:
            # Rows and outbox go with the batches; on tables this small it is faster than TRUNCATE.
            cursor.execute("DELETE FROM images; DELETE FROM batches; DELETE FROM idempotency_keys")
    finally:
        connection.close()
    return migrated_url


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
def make_lab(database_url: str, certs_url: str, issuer: TokenIssuer) -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def make(**overrides: str) -> Lab:
        labs.append(Lab(database_url, certs_url, issuer, overrides))
        return labs[-1]

    yield make
    for lab in labs:
        lab.engine.dispose()


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()


@pytest.fixture(name="check_contract")
def _check_contract() -> Callable[[str, Any], None]:
    return check_contract
