"""The last release: its workflow, its contracts, and its services as a stub that answers what they answered.

Its files are written by `make last-release` and lie in tests/data/last_release, so that a clean checkout has them
without history and without a network.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import requests
from jsonschema import Draft202012Validator, FormatChecker

FOLDER = Path(__file__).resolve().parents[1] / "data/last_release"
CONTRACTS = FOLDER / "contracts"
WORKFLOW = FOLDER / "batch.yaml"
STUB = "http://stub.invalid"
"""Stands in the recorded answers for the root of every service."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_OF_A_BATCH = ("start", "claim", "give_back", "release", "finish", "fail")
PAYLOADS: Mapping[str, tuple[str, str]] = {
    "POST /internal/imports": ("import_request", "import_response"),
    "POST /internal/batches/{id}/import": ("import_chunk_request", "import_response"),
    **{f"POST /internal/batches/{{id}}/{name}": (f"{name}_request", f"{name}_response") for name in _OF_A_BATCH},
    "POST /internal/reports": ("report_request", "report_response"),
    "POST /internal/notifications": ("notification_request", "notification_response"),
}
"""Route that a workflow may call to the contracts of its request and answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered to a route, in which `{id}` stands for every id."""

    route: str
    code: int
    body: Any


def document() -> dict[str, Any]:
    """Return answers.json: the commit, the version before it, the answers in their order."""
    found: dict[str, Any] = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))
    return found


def request_id() -> str:
    """Return the id of the recorded batch."""
    starts = [answer["body"]["request_id"] for answer in document()["answers"] if answer["route"].endswith("/start")]
    return str(starts[0])


def faults_of_request(route: str, body: Any) -> list[str]:
    """Return why the last release's services would refuse a request."""
    if route not in PAYLOADS:
        return [f"{route}: there is no such route"]
    schema = json.loads((CONTRACTS / f"{PAYLOADS[route][0]}.schema.json").read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    return [f"{route} {fault.json_path}: {fault.message}" for fault in validator.iter_errors(body)]


class OldServices:
    """Both internal doors of the last release, and a compressor for its tasks; a context manager.

    A route's answers are given in the order in which they were recorded, the last one again and again. When every task
    that was handed out has come, the execution is called back, as ingest does.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.tasks = 0
        self._answers: dict[str, list[Answer]] = {}
        for given in document()["answers"]:
            self._answers.setdefault(given["route"], []).append(Answer(given["route"], given["code"], given["body"]))
        self._handed_out = 0
        self._callback = ""
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"null")
                code, body = outer._answer(f"POST {_UUID.sub('{id}', self.path)}", sent)
                text = json.dumps(body).replace(STUB, outer.url).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def _answer(self, route: str, sent: Any) -> tuple[int, Any]:
        with self._lock:
            if route == "POST /compress":
                self.tasks += 1
                last = self.tasks == self._handed_out
            else:
                last = False
                self.asked.append(route)
                self.faults += faults_of_request(route, sent)
        if last:
            requests.post(self._callback, json={}, timeout=10)
        if route == "POST /compress":
            return 200, {}
        if route.endswith("/start"):
            self._callback = sent["callback_url"]
        left = self._answers.get(route)
        if not left:
            return 404, {"error": {"code": 404, "status": "NOT_FOUND", "message": route, "details": []}}
        answer = left.pop(0) if len(left) > 1 else left[0]
        if route.endswith("/claim"):
            self._handed_out += answer.body["image_count"]
            # Cloud Tasks remembers names and calls for longer than a test takes.
            for group in answer.body["groups"]:
                group["request_id"] = str(uuid.uuid4())
                for request in group["requests"]:
                    request["task"]["name"] += f"-{uuid.uuid4().hex}"
        return answer.code, answer.body

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
