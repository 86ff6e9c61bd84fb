"""Ingest in a laboratory: the real application on a real PostgreSQL, with verbs for what its callers do."""

from __future__ import annotations

import base64
import io
import json
import socket
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from chassis.clock import SystemClock
from chassis.http.caller_guard import CallerGuard
from ingest.app import create_app
from ingest.clients.webhook_targets import WebhookTargets
from ingest.dependencies import Dependencies
from ingest.settings import IngestSettings
from localcloud.identity.engine.issuer import TokenIssuer
from support.memory_clients import (
    WORKFLOW,
    FakeCallbacks,
    FakeExecutions,
    FakePeers,
    FakePreviews,
    FakeReporter,
    FakeStorage,
    FakeTasks,
    FakeWebhooks,
)
from support.payload_schemas import assert_matches

ACCOUNTS = {name: f"{name}@demo.iam.gserviceaccount.com" for name in ("workflow", "tasks", "scheduler", "compressor")}
ACCOUNTS["reporter"] = "reporter@demo.iam.gserviceaccount.com"
INGEST_URL = "http://ingest.test"
INGEST_INTERNAL_URL = "http://ingest-internal.test"


def look_up(host: str, port: int, *_rest: object) -> list[Any]:
    """Return a public address for a name of example.com's kind, a private one for `private.example`, itself for others.

    Raises:
        socket.gaierror: for `unknown.example`.
    """
    if host == "unknown.example":
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    known = {"private.example": "10.0.0.1"}.get(host, "93.184.215.14") if host.endswith(".example") else host
    return socket.getaddrinfo(known, port, 0, socket.SOCK_STREAM)


class ClosingClient(FlaskClient):
    """A client that closes the file in which werkzeug keeps a large form; itself it does so after redirects only."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """Make a request and return its answer, read to the end."""
        response = super().open(*args, **kwargs)
        response.get_data()
        response.close()
        response.request.input_stream.close()
        return response


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

    def __init__(self, engine: Engine, certs_url: str, issuer: TokenIssuer, overrides: dict[str, str]) -> None:
        environ = {
            "GOOGLE_CLOUD_PROJECT": "demo",
            "GOOGLE_CLOUD_LOCATION": "us-central1",
            "AUTH_CERTS_URL": certs_url,
            "DATABASE_URL": str(engine.url),
            "INGEST_URL": INGEST_URL,
            "INGEST_INTERNAL_URL": INGEST_INTERNAL_URL,
            "COMPRESSOR_URL": "http://compressor.test",
            "REPORTER_URL": "https://reporter.test",
            "REPORTER_INTERNAL_URL": "https://reporter-internal.test",
            "COMPRESSOR_TASKS_SERVICE_ACCOUNT": "tasks-images@demo.example",
            "WORKFLOW_ID": "batch",
            "BATCHES_QUEUE": "projects/demo/locations/us-central1/queues/batches",
            "IMAGES_QUEUE": "projects/demo/locations/us-central1/queues/images",
            **{f"{name.upper()}_SERVICE_ACCOUNT": email for name, email in ACCOUNTS.items()},
            "EGRESS_ALLOWED_NETWORKS": "127.0.0.0/8",
            # One host for nearly all tests; those about politeness say how polite.
            "INGEST_HOST_FIRST_RATE": "10000",
            "INGEST_HOST_MAX_RATE": "10000",
            "INGEST_HOST_MAX_CONCURRENCY": "10000",
            # Nor need they find out first what an image takes.
            "INGEST_FIRST_IN_FLIGHT": "100",
            "INGEST_UPLOADS_BUCKET": "uploads",
            **overrides,
        }
        self.settings = IngestSettings.from_environ(environ)
        self.engine = engine
        self.issuer = issuer
        self.executions = FakeExecutions()
        self.tasks = FakeTasks()
        self.callbacks = FakeCallbacks()
        self.storage = FakeStorage()
        self.reporter = FakeReporter()
        self.previews = FakePreviews()
        self.webhooks = FakeWebhooks()
        self.peers = FakePeers()
        clock = SystemClock()
        self.dependencies = Dependencies(
            settings=self.settings,
            engine=self.engine,
            clock=clock,
            guard=CallerGuard(audience=INGEST_INTERNAL_URL, certs_url=certs_url, mode="verify", clock=clock),
            executions=self.executions,
            tasks=self.tasks,
            callbacks=self.callbacks,
            storage=self.storage,
            reporter=self.reporter,
            webhook_targets=WebhookTargets(self.settings, clock, resolve=look_up),
            previews=self.previews,
            webhooks=self.webhooks,
            peers=self.peers,
        )
        self.app: Flask = create_app(self.dependencies)
        self.app.test_client_class = ClosingClient
        self._tokens: dict[str, str] = {}

    def client(self) -> FlaskClient:
        """Return a fresh client; one per thread."""
        return self.app.test_client()

    def token(self, caller: str) -> str:
        """Return the Authorization header of a service account."""
        if caller not in self._tokens:
            self._tokens[caller] = self.issuer.mint_id_token(ACCOUNTS[caller], INGEST_INTERNAL_URL)
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
            assert_matches(request, body)
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
            assert_matches(answer, answered.json)
        if answered.code >= 400:
            assert_matches("error", answered.json)
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
        return [image["payload"] for image in claimed_of(page.json)]

    def next_claim(self, request_id: str, execution: str) -> dict[str, Any]:
        """Claim and return the whole answer: `open`, `next_claim_s` and what was handed out."""
        answer = self.batch_call(request_id, "claim", execution=execution, max_rows=100)
        assert answer.code == 200, answer.text
        return answer.json

    def outcome_of(self, payload: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        """Return the body of an outcome report: a success unless changed."""
        return outcome_of(payload, **changes)

    def report(self, payload: Mapping[str, Any], **changes: Any) -> Answered:
        """Report the outcome of an attempt: a success unless changed."""
        body = outcome_of(payload, **changes)
        return self.internal("compressor", "PUT", f"/internal/images/{payload['image_id']}/outcome", body)

    def report_together(self, *outcomes: Mapping[str, Any]) -> Answered:
        """Report what became of images, each as `outcome_of` has it with its `image_id`."""
        body = {
            "request_id": outcomes[0]["request_id"],
            "outcomes": [{name: each[name] for name in each if name != "request_id"} for each in outcomes],
        }
        return self.internal("compressor", "POST", "/internal/outcomes", body)

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


class MakeLab(Protocol):
    """Makes the service with other settings, by their variables."""

    def __call__(self, **overrides: str) -> Lab:
        """Return the service; `INGEST_MAX_ROWS="3"` sets a variable."""
        ...


def claimed_of(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the images of a claimed page: `task_id`, `start_at`, and the `payload` of a task of its own."""
    tasks = [request["task"] for group in page["groups"] for request in group["requests"]]
    return [
        {"task_id": task["name"].rpartition("/")[2], "start_at": task["scheduleTime"], "payload": payload}
        for task in tasks
        for payload in payloads_of(json.loads(base64.b64decode(task["httpRequest"]["body"])))
    ]


def payloads_of(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a task carries, each image as in a task of its own."""
    first = {name: value for name, value in task.items() if name not in {"more", "interval_s"}}
    shared = {name: task[name] for name in ("request_id", "options")}
    return [first, *({**shared, **image} for image in task.get("more", ()))]


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
        "first_byte_ms": 50,
        "codec_ms": 5,
    }
    return values | changes


_CONTRACTS = {
    "start": ("start_request", "start_response"),
    "claim": ("claim_request", "claim_response"),
    "give_back": ("give_back_request", "give_back_response"),
    "finish": ("finish_request", "finish_response"),
    "fail": ("fail_request", "fail_response"),
    "release": ("release_request", "release_response"),
    "outcome": ("outcome_request", "outcome_response"),
    "outcomes": ("outcomes_request", "outcomes_response"),
    "import": ("import_chunk_request", "import_response"),
    "imports": ("import_request", "import_response"),
    "sweep": ("", "sweep_response"),
}


def _contract_of(path: str) -> tuple[str, str]:
    return _CONTRACTS.get(path.rpartition("/")[2], ("", ""))
