"""A webhook receiver on loopback that verifies signatures with the public Standard Webhooks library."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, slots=True)
class Received:
    """One verified or refused request."""

    message_id: str
    verified: bool
    event: dict[str, Any]


class Receiver:
    """A running receiver; a context manager.

    Args:
        secret: the deployment's `whsec_...`.
        answer: gives the status for the n-th request (0 first); 204 unless told otherwise.
    """

    def __init__(self, secret: str, *, port: int = 0, answer: Callable[[int], int] = lambda _n: 204) -> None:
        self.received: list[Received] = []
        self._arrived = threading.Condition()
        receiver, webhook = self, Webhook(secret)

        class Handler(BaseHTTPRequestHandler):
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    webhook.verify(body, headers)
                    verified = True
                except (WebhookVerificationError, ValueError):
                    verified = False
                with receiver._arrived:
                    status = answer(len(receiver.received))
                    receiver.received.append(Received(headers.get("webhook-id", ""), verified, json.loads(body)))
                    receiver._arrived.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                """Say nothing; what arrived is in `received`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hooks"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def wait_for(self, request_id: str, *, within_s: float) -> Received | None:
        """Return the first event of a batch, or None when none came in time."""

        def match() -> Received | None:
            return next((item for item in self.received if item.event.get("request_id") == request_id), None)

        with self._arrived:
            self._arrived.wait_for(lambda: match() is not None, timeout=within_s)
            return match()

    def __enter__(self) -> Self:
        """Begin to serve in a thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
