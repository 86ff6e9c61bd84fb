"""A TCP proxy that can fall silent and speak again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class TcpProxy:
    """A running proxy; a context manager.

    `stalled` holds back everything that the server says, `deaf` leaves unread what clients say. `connections` counts
    those that were made.

    Args:
        port: where the server listens on loopback.
        listener: takes the clients' connections; by default one on loopback.
    """

    def __init__(self, port: int, listener: socket.socket | None = None) -> None:
        self._target = port
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = 0
        self.stalled = False
        self.deaf = False
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def cut(self) -> None:
        """Break every connection."""
        self._run(self._cut())

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._listener)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.stalled = self.deaf = False
        await self._cut()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if tasks:
            await asyncio.wait(tasks, timeout=5)

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        mine = {to_client, to_server}
        self._writers |= mine
        ways = [asyncio.create_task(way) for way in self._ways(client, to_client, server, to_server)]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for writer in mine:
            writer.transport.abort()
        self._writers -= mine
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(*ways)

    def _ways(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        return self._forth(client, to_server), self._back(server, to_client)

    async def _forth(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while True:
            await self._while("deaf")
            if not (data := await client.read(65536)):
                return
            to_server.write(data)
            await to_server.drain()

    async def _back(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        while data := await server.read(65536):
            await self._while("stalled")
            to_client.write(data)
            await to_client.drain()

    async def _while(self, flag: str) -> None:
        while getattr(self, flag):  # noqa: ASYNC110 - set by the test, which lives in another thread
            await asyncio.sleep(0.02)
