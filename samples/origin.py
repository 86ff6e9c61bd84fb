"""A shop's image server on loopback: serves generated files with their ETag, counts requests, can be slow.

`python -m samples.origin --port 8089` serves the sample catalogue; its sheet is at `/catalogue.csv`.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from samples.catalogue import SampleFile, make_catalogue

NO_SUCH_FILE = SampleFile("text/plain", b"no such file\n", status=404)
NOT_YET_DRAWN = SampleFile("text/plain", b"the catalogue is being drawn, try again in some seconds\n", status=503)


class Origin:
    """A running server; a context manager.

    Args:
        files: path to file; may be replaced while it runs. Any other path is answered with `absent`.
        port: 0 picks a free one.
        delay_s: waited before every answer, as a distant supplier would make one wait.
        sends_etags: whether pictures have an ETag and are asked for conditionally, as most servers allow.
    """

    def __init__(
        self, files: Mapping[str, SampleFile], *, port: int = 0, delay_s: float = 0.0, sends_etags: bool = True
    ) -> None:
        self.files = files
        self.absent = NO_SUCH_FILE
        self.hits: Counter[str] = Counter()
        self.picture_bytes = 0
        """Bytes of pictures that were sent."""
        self.sends_etags = sends_etags
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet per answer: two cost 40 ms through Nagle and delayed ACK.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                path = self.path.split("?", 1)[0]
                origin.hits[path] += 1
                if delay_s:
                    time.sleep(delay_s)
                file = origin.files.get(path) or origin.absent
                is_picture = file.status == 200 and file.content_type.startswith("image/")
                etag = _etag(file.body) if is_picture and origin.sends_etags else None
                if etag is not None and self.headers.get("If-None-Match") == etag:
                    self.send_response(304)
                    self.send_header("ETag", etag)
                    self.end_headers()
                    return
                self.send_response(file.status)
                self.send_header("Content-Type", file.content_type)
                self.send_header("Content-Length", str(len(file.body)))
                if etag is not None:
                    self.send_header("ETag", etag)
                self.end_headers()
                self.wfile.write(file.body)
                origin.picture_bytes += len(file.body) if is_picture else 0

            def log_message(self, *_args: Any) -> None:
                """Say nothing: the services log every fetch."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, *_args: Any) -> None:
                """Ignore clients that go away; killed services do."""

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def start(self) -> Self:
        """Begin to serve in a thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Begin to serve."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self.stop()


def _etag(body: bytes) -> str:
    # Of the ends only: a megabyte at each request would be what a benchmark of others measures.
    return '"' + hashlib.sha256(b"%d" % len(body) + body[:4096] + body[-4096:]).hexdigest()[:20] + '"'


def main() -> None:
    """Serve the sample catalogue until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8089)
    port = parser.parse_args().port
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # Up at once, so that a stack need not wait for the drawing.
    with Origin({"/health": SampleFile("application/json", b'{"status": "ok"}')}, port=port) as origin:
        origin.absent = NOT_YET_DRAWN
        catalogue = make_catalogue(origin.base_url)
        sheet = SampleFile("text/csv; charset=utf-8", catalogue.sheet)
        origin.files = {**origin.files, **catalogue.files, "/catalogue.csv": sheet}
        origin.absent = NO_SUCH_FILE
        print(f"sample images at {origin.base_url}, sheet at {origin.base_url}/catalogue.csv", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
