"""A real HTTP server on loopback that answers by a script: a list of requests in any order, each with its answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class LoopbackScript:
    """Serves one script at a time; `base_url` has no trailing slash.

    An entry of a script has `request` (`GET /path?query`), and may have `code` (200), `body` (a value, sent as JSON),
    `text` (sent as text/plain instead), and what must arrive: `sent` (a JSON value, or a text) and `headers`.
    """

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._lock = threading.Lock()
        self._script: list[dict[str, Any]] = []
        self._faults: list[str] = []

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextmanager
    def playing(self, script: list[dict[str, Any]]) -> Iterator[list[str]]:
        """Answer by the script; the list holds, after the block, what arrived wrong and what did not arrive."""
        faults: list[str] = []
        with self._lock:
            self._script, self._faults = list(script), faults
        yield faults
        with self._lock:
            faults += [f"did not arrive: {entry['request']}" for entry in self._script]

    def _answer(self, line: str, headers: Any, body: bytes) -> dict[str, Any]:
        with self._lock:
            entry = next((each for each in self._script if _fits(each, line, headers, body)), None)
            if entry is None:
                self._faults.append(f"unexpected: {line} {dict(headers)} {body!r}")
                return {"code": 599}
            self._script.remove(entry)
            return entry

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one packet: two would wait for each other

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self._respond
                raise AttributeError(name)

            def _respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                entry = script._answer(f"{self.command} {self.path}", self.headers, body)
                content = entry["text"].encode() if "text" in entry else json.dumps(entry.get("body", {})).encode()
                self.send_response_only(entry.get("code", 200))
                self.send_header("Content-Type", "text/plain" if "text" in entry else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing: the faults tell what went wrong."""

        return Handler


def _fits(entry: dict[str, Any], line: str, headers: Any, body: bytes) -> bool:
    return (
        entry["request"] == line
        and all(str(headers.get(name, "")).startswith(value) for name, value in entry.get("headers", {}).items())
        and ("sent" not in entry or _decoded(body) == entry["sent"])
    )


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()
