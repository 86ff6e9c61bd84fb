"""A TCP proxy before PostgreSQL that knows just enough of its protocol to lose the answer to a COMMIT.

Source of the message format: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class PostgresProxy:
    """A running proxy; a context manager.

    `lose_commits` is how many of the next COMMITs reach the server while their answer does not come back: the client
    sees its connection break and cannot know. `stalled` holds back everything that the server says.

    Args:
        port: where PostgreSQL listens on loopback.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self.lose_commits = 0
        self.lost = 0
        self.stalled = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def url(self, database: str) -> str:
        """Return the URL of a database through the proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

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
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._cut()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        mine = {to_client, to_server}
        self._writers |= mine
        is_lost = asyncio.Event()

        async def forth() -> None:
            while data := await client.read(65536):
                # psycopg2 sends `Q`, length, "COMMIT\0" as one simple query.
                if self.lose_commits and data.startswith(b"Q") and b"COMMIT\x00" in data:
                    self.lose_commits -= 1
                    is_lost.set()
                to_server.write(data)
                await to_server.drain()

        async def back() -> None:
            while data := await server.read(65536):
                if is_lost.is_set():
                    # The server has answered, so the commit is done; nobody will hear of it.
                    self.lost += 1
                    return
                while self.stalled:  # noqa: ASYNC110 - set by the test, which lives in another thread
                    await asyncio.sleep(0.02)
                to_client.write(data)
                await to_client.drain()

        ways = [asyncio.create_task(forth()), asyncio.create_task(back())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for writer in mine:
            writer.transport.abort()
        self._writers -= mine
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(*ways)
