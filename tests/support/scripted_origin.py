"""A real HTTP server on loopback that answers exactly as told, byte by byte when need be, and remembers who asked."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Exchange:
    """One connection in the hands of a script."""

    request: Received
    connection: socket.socket
    closing: threading.Event
    finished: threading.Event = field(default_factory=threading.Event)

    def send(self, data: bytes) -> bool:
        """Send bytes; False when the client is gone."""
        try:
            self.connection.sendall(data)
        except OSError:
            self.finished.set()
            return False
        return True

    def pause(self, seconds: float) -> bool:
        """Hold the answer back for so long; True when the server is to close meanwhile."""
        return self.closing.wait(seconds)


Script = Callable[[Exchange], None]


class ScriptedOrigin:
    """Serves scripts by path on 127.0.0.1; unknown paths are 404. Use it as a context manager.

    `received` holds every request in order, `connections` counts the accepted connections.
    """

    def __init__(self, tls: object = None) -> None:
        self._scripts: dict[str, Script] = {}
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.received: list[Received] = []
        self.connections = 0
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def on(self, path: str, script: Script) -> str:
        """Register a script (longest matching prefix wins) and return the path's URL."""
        self._scripts[path] = script
        return self.url(path)

    def url(self, path: str = "/") -> str:
        """Return the URL of a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        """Stop listening, cut every connection, and wait for the threads."""
        self._closing.set()
        # shutdown() wakes a thread that waits in accept(); close() alone does not on Linux.
        for sock in (self._listener, *self._snapshot()):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._listener.close()
        self._acceptor.join(5)
        for thread in self._threads:
            thread.join(5)

    def _snapshot(self) -> list[socket.socket]:
        with self._lock:
            return list(self._open)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(10)
            if self._tls is not None:
                with self._lock:
                    self._open.discard(connection)
                connection = self._tls.wrap_socket(connection, server_side=True)  # type: ignore[attr-defined]
            request = _read_request(connection)
            if request is not None:
                self.received.append(request)
                self._script_for(request.target)(Exchange(request, connection, self._closing))
        except OSError:
            return
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _script_for(self, target: str) -> Script:
        path = target.partition("?")[0]
        matching = [prefix for prefix in self._scripts if path.startswith(prefix)]
        return self._scripts[max(matching, key=len)] if matching else answer(b"not found", status=404)


def _read_request(connection: socket.socket) -> Received | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    while len(body) < length:
        body += connection.recv(65536)
    return Received(method, target, headers, body)


def head(status: int, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a status line and headers."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(body: bytes = b"", *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Script:
    """Answer once, whole, with a right Content-Length unless the headers bring one."""
    given = list(headers)
    if not any(name.lower() == "content-length" for name, _ in given):
        given.append(("Content-Length", str(len(body))))

    def script(exchange: Exchange) -> None:
        exchange.send(head(status, [*given, ("Connection", "close")]) + body)

    return script


def redirect(location: str, *, status: int = 302, body: bytes = b"") -> Script:
    """Redirect to a URL."""
    return answer(body, status=status, headers=[("Location", location)])


def raw(data: bytes) -> Script:
    """Send these bytes and close."""

    def script(exchange: Exchange) -> None:
        exchange.send(data)

    return script


def silent() -> Script:
    """Take the request and never answer."""

    def script(exchange: Exchange) -> None:
        exchange.pause(30)

    return script


def drip(prefix: bytes, piece: bytes, *, every_s: float = 0.05) -> Script:
    """Send `prefix`, then `piece` again and again until the client is gone."""

    def script(exchange: Exchange) -> None:
        going = exchange.send(prefix)
        while going and not exchange.pause(every_s):
            going = exchange.send(piece)

    return script


def endless(prefix: bytes, piece: bytes) -> Script:
    """Send `prefix`, then `piece` as fast as the client takes it."""

    def script(exchange: Exchange) -> None:
        going = exchange.send(prefix)
        while going and not exchange.closing.is_set():
            going = exchange.send(piece)

    return script


def reset(prefix: bytes = b"") -> Script:
    """Send `prefix`, then break the connection with RST."""

    def script(exchange: Exchange) -> None:
        if prefix:
            exchange.send(prefix)
        exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script
