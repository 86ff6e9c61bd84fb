"""Takes webhooks on this machine and checks their signatures, as https://www.standardwebhooks.com has them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

MAX_BODY_BYTES = 1024 * 1024
"""Largest body that is taken."""

TOLERANCE_S = 300
"""How old an event may be, seconds: an older one may have been recorded and sent again by somebody else."""


class Receiver:
    """A server on loopback for the time of a block."""

    def __init__(self, port: int) -> None:
        received: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self._received = received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Keep the request and thank for it."""
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(min(length, MAX_BODY_BYTES))
                received.put(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
                """Say nothing: events are the output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        """Begin to serve."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def events(self, secret: str) -> Iterator[dict[str, Any]]:
        """Yield each event whose signature is right, for ever."""
        while True:
            headers, body = self._received.get()
            if is_signed(headers, body, secret, now=time.time()):
                yield json.loads(body)


def is_signed(headers: Mapping[str, str], body: bytes, secret: str, *, now: float) -> bool:
    """Return whether a body was signed with a secret (`whsec_...`), at most `TOLERANCE_S` before or after `now`.

    Args:
        headers: by names in lower case.
        body: as it was sent.
        secret: of the endpoint.
        now: seconds since 1970.
    """
    try:
        sent_at = int(headers.get("webhook-timestamp", ""))
    except ValueError:
        return False
    if abs(now - sent_at) > TOLERANCE_S:
        return False
    signed = f"{headers.get('webhook-id', '')}.{sent_at}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(f"v1,{expected}", one) for one in given)
