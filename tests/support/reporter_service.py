"""The reporter in one process with real neighbours on loopback: database, storage, ingest, issuer, subscribers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug.test import TestResponse

from localcloud.core.clock import SystemClock as IssuerClock
from localcloud.identity.engine.issuer import TokenIssuer
from reporter.clients.task_queue import task_id
from reporter.dependencies import Dependencies
from reporter.settings import ReporterSettings
from reporter.state.deliveries import Hint

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ROOT_URL = "https://reporter.test"
WORKFLOW = "workflow@demo.iam.gserviceaccount.com"
INGEST = "ingest@demo.iam.gserviceaccount.com"
TASKS = "tasks@demo.iam.gserviceaccount.com"
SCHEDULER = "scheduler@demo.iam.gserviceaccount.com"

HEADER = ["S. No.", "Product Name", "Input Image Urls"]


class HandClock:
    """Wall-clock time that moves by hand; durations are real."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def now(self) -> datetime:
        """Return the set time."""
        return self.time

    def monotonic(self) -> float:
        """Return real seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Move the time instead of waiting."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the time."""
        self.time += timedelta(seconds=seconds)


class SteppedClock:
    """The service's own clock: `clock` and a step, by which it may go wrong while the database's does not."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.step_s = 0.0

    def now(self) -> datetime:
        """Return the set time and the step."""
        return self._clock.now() + timedelta(seconds=self.step_s)

    def monotonic(self) -> float:
        """Return real seconds."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Move the time instead of waiting."""
        self._clock.sleep(seconds)


@dataclass(slots=True)
class MemoryQueue:
    """A queue with memory: one entry per task id, as Cloud Tasks has it; can be put out of order."""

    error: Exception | None = None
    tasks: dict[str, tuple[Hint, datetime | None]] = field(default_factory=dict)

    def put(self, hint: Hint, *, not_before: datetime | None = None) -> None:
        """Keep a hint; the same one twice is kept once."""
        if self.error is not None:
            raise self.error
        self.tasks.setdefault(task_id(hint), (hint, not_before))

    @property
    def hints(self) -> list[Hint]:
        """Return the hints in the order they came."""
        return [hint for hint, _ in self.tasks.values()]

    @property
    def last(self) -> tuple[Hint, datetime | None]:
        """Return the newest hint and its time."""
        return list(self.tasks.values())[-1]


@dataclass(frozen=True, slots=True)
class Got:
    """A request that a loopback server received."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a loopback server answers; an iterator as body is sent piece by piece until it ends or the peer leaves."""

    status: int = 200
    body: bytes | Iterator[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    declared_bytes: int | None = None


@contextmanager
def loopback(handle: Callable[[Got], Answer]) -> Iterator[str]:
    """Serve on a free port and yield the root URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", "0"))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = handle(Got(self.command, self.path, headers, self.rfile.read(size)))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.close_connection = True
            try:
                if isinstance(answer.body, bytes):
                    self.send_header("Content-Length", str(answer.declared_bytes or len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)
                else:
                    self.end_headers()
                    for piece in answer.body:
                        self.wfile.write(piece)
            except OSError:
                return  # the peer has gone, as some tests want it

        do_GET = do_PUT = do_DELETE = do_POST

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Subscriber:
    """A webhook receiver with settable answers that verifies with the public library."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Got] = []
        self.verified: list[bool] = []
        self.answer: Callable[[Got], Answer] = lambda _got: Answer(204)
        self._lock = threading.Lock()

    def handle(self, got: Got) -> Answer:
        """Note the request and answer it."""
        try:
            Webhook(SECRET).verify(got.body, dict(got.headers))
            verified = True
        except (WebhookVerificationError, ValueError):
            verified = False
        with self._lock:
            self.received.append(got)
            self.verified.append(verified)
        return self.answer(got)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the bodies received."""
        return [json.loads(got.body) for got in self.received]


class ScriptedIngest:
    """Serves exports as they were scripted, to callers with a token for it."""

    def __init__(self) -> None:
        self.url = ""
        self.exports: dict[str, bytes] = {}
        self.cut_after: int | None = None
        self.calls = 0

    def handle(self, got: Got) -> Answer:
        """Answer GET /internal/batches/ID/export."""
        self.calls += 1
        request_id = got.path.split("/")[3]
        if got.headers.get("authorization") != f"Bearer token-for-{self.url}":
            return Answer(401, b"{}")
        if request_id not in self.exports:
            info = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "BATCH_NOT_FOUND",
                "domain": "ingest",
            }
            error = {"code": 404, "status": "NOT_FOUND", "message": "No such batch.", "details": [info]}
            return Answer(404, json.dumps({"error": error}).encode(), {"Content-Type": "application/json"})
        body = self.exports[request_id]
        kept = body if self.cut_after is None else body[: self.cut_after]
        return Answer(200, kept, {"Content-Type": "application/x-ndjson"}, declared_bytes=len(body))


class NamedTokens:
    """Tokens that name their audience."""

    def token(self, audience: str) -> str:
        """Return `token-for-AUDIENCE`."""
        return f"token-for-{audience}"


ISSUER = TokenIssuer(IssuerClock())


def certificates(_got: Got) -> Answer:
    """Serve the issuer's certificates."""
    return Answer(200, json.dumps(ISSUER.certificates()).encode(), {"Content-Type": "application/json"})


@dataclass(slots=True)
class World:
    """The service under test and everything around it; `clock` is the time of the database and of the service."""

    app: Flask
    dependencies: Dependencies
    settings: ReporterSettings
    clock: HandClock
    service_clock: SteppedClock
    queue: MemoryQueue
    ingest: ScriptedIngest
    storage: Any
    bucket: Any

    @property
    def engine(self) -> Engine:
        """Return the service's engine, whose database has the time of `clock`."""
        return self.dependencies.engine

    @property
    def client(self) -> FlaskClient:
        """Return a client without any identity."""
        return self.app.test_client()

    def internal(self, path: str, body: Any = None, *, account: str = WORKFLOW) -> TestResponse:
        """Call an internal route as a service account."""
        token = ISSUER.mint_id_token(account, ROOT_URL)
        return self.client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})

    def publish(self, lines: bytes | None = None, *, request_id: str = "") -> dict[str, Any]:
        """Publish the report of an export and return the answer."""
        request_id = request_id or str(uuid4())
        self.ingest.exports[request_id] = lines if lines is not None else export(request_id, [row()])
        answer = self.internal("/internal/reports", {"request_id": request_id})
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.get_json()
        return result

    def follow(self, url: str) -> TestResponse:
        """GET one of our own absolute URLs."""
        assert url.startswith(ROOT_URL)
        return self.client.get(url.removeprefix(ROOT_URL))

    def notify(self, **changes: Any) -> str:
        """Notify of an ending and return its request id."""
        body = notification(**changes)
        answer = self.internal("/internal/notifications", body)
        assert answer.status_code == 200, answer.text
        return str(body["request_id"])

    def deliver(self, hint: Hint) -> dict[str, Any]:
        """Do what Cloud Tasks does with a hint."""
        body = {"delivery_id": str(hint.delivery_id), "attempt": hint.attempt}
        answer = self.internal("/internal/deliveries", body, account=TASKS)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.get_json()
        return result

    def deliveries(self, request_id: str) -> list[dict[str, Any]]:
        """Return the delivery log of a batch."""
        answer = self.client.get("/deliveries", query_string={"request_id": request_id})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.get_json()["deliveries"]
        return found


def image(slot: int = 0, **changes: Any) -> dict[str, Any]:
    """Return an image of an export, succeeded unless told otherwise."""
    return {
        "slot": slot,
        "input_url": f"https://shop.test/{slot}.png",
        "status": "SUCCEEDED",
        "code": "OK",
        "detail": None,
        "output_url": f"https://cdn.test/{slot}.jpg",
        "bytes_in": 1000,
        "bytes_out": 400,
        "width": 10,
        "height": 20,
        "format": "JPEG",
        "sha256": "0" * 64,
        "attempts": 1,
        "duration_ms": 12,
        "duplicate_of": None,
        **changes,
    }


def failed_image(slot: int = 0, **changes: Any) -> dict[str, Any]:
    """Return an image of an export that failed with HTTP 404."""
    nothing = dict.fromkeys(("output_url", "bytes_in", "bytes_out", "width", "height", "format", "sha256"))
    return image(slot, **{**nothing, "status": "FAILED", "code": "HTTP_4XX", "detail": "HTTP 404", **changes})


def row(number: int = 2, images: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """Return a row of an export; its cells are made of its images."""
    images = [image()] if images is None else images
    return {
        "kind": "row",
        "row_number": number,
        "serial": str(number),
        "product_name": f"Product {number}",
        "cells": [str(number), f"Product {number}", ",".join(i["input_url"] for i in images)],
        "images": images,
        **changes,
    }


def batch_line(request_id: str, rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return the first line of an export."""
    images = [i for r in rows for i in r["images"]]
    failed = sum(i["status"] != "SUCCEEDED" for i in images)
    return {
        "kind": "batch",
        "request_id": request_id,
        "owner": None,
        "generation": 1,
        "status": "SEALING",
        "cancelled": False,
        "counts": {"total": len(images), "pending": 0, "succeeded": len(images) - failed, "failed": failed},
        "source_name": "spring.csv",
        "header": HEADER,
        "columns": {"serial": 0, "name": 1, "urls": [2], "output": None, "errors": None},
        "created_at": "2026-11-22T10:00:00Z",
        **changes,
    }


def export(request_id: str, rows: list[dict[str, Any]], **changes: Any) -> bytes:
    """Return a whole export as NDJSON."""
    end = {"kind": "end", "rows": len(rows), "images": sum(len(r["images"]) for r in rows)}
    return ndjson(batch_line(request_id, rows, **changes), *rows, end)


def ndjson(*records: dict[str, Any]) -> bytes:
    """Return records as lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def notification(**changes: Any) -> dict[str, Any]:
    """Return the body of POST /internal/notifications."""
    return {
        "request_id": str(uuid4()),
        "generation": 1,
        "status": "COMPLETED",
        "message": "Processed successfully",
        "counts": {"total": 1, "pending": 0, "succeeded": 1, "failed": 0},
        "finished_at": "2026-11-22T10:00:00Z",
        "webhook_url": None,
        "owner": None,
        "download_url": "https://reporter.test/reports/x/output.csv?token=t",
        **changes,
    }
