"""A proxy before a service that records what crosses it and can deliver every task twice."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import requests

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Crossing:
    """One request and its answer; `route` has `{id}` for every id, bodies are decoded JSON or raw bytes."""

    route: str
    sent: Any
    code: int
    answered: Any


def _decoded(body: bytes, content_type: str) -> Any:
    return json.loads(body) if body and content_type.startswith("application/json") else body


class Tap:
    """A running proxy; a context manager.

    Args:
        target: gives the service's root URL when the first request comes (its port is not known before).
        twice: send each request that Cloud Tasks dispatches a second time, at the same moment, and drop that answer.
    """

    def __init__(self, target: Callable[[], str], *, twice: bool = False) -> None:
        self.crossings: list[Crossing] = []
        self.doubled = 0
        self.before_answer: Callable[[str], None] | None = None
        """Called with the route when a request has had its effect and its sender has no answer yet; what it raises
        loses the answer."""
        self.instead: Callable[[str], int | None] | None = None
        """Gives for a route the status that is answered without asking the service; None asks it."""
        tap = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                url = target() + self.path
                route = f"{self.command} {_UUID.sub('{id}', self.path.split('?', 1)[0])}"
                refused = None if tap.instead is None else tap.instead(route)
                if refused is not None:
                    self.send_response(refused)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return

                def send() -> requests.Response:
                    return requests.request(
                        self.command, url, data=body, headers=headers, timeout=120, allow_redirects=False
                    )

                second = None
                if twice and "X-CloudTasks-TaskName" in self.headers:
                    tap.doubled += 1
                    second = threading.Thread(target=send)
                    second.start()
                answer = send()
                if second is not None:
                    second.join()
                tap.crossings.append(
                    Crossing(
                        route,
                        _decoded(body, self.headers.get("Content-Type", "")),
                        answer.status_code,
                        _decoded(answer.content, answer.headers.get("Content-Type", "")),
                    )
                )
                if tap.before_answer is not None:
                    tap.before_answer(route)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in {"transfer-encoding", "content-length", "connection", "content-encoding"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_DELETE = _forward

            def log_message(self, *_args: Any) -> None:
                """Say nothing; what crossed is in `crossings`."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_args: Any) -> None:
                """Ignore callers that go away."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
