"""A TCP proxy before PostgreSQL that knows just enough of its protocol to lose the answer to a COMMIT.

Source of the message format: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from support.tcp_proxy import TcpProxy


class PostgresProxy(TcpProxy):
    """A running proxy; a context manager.

    `lose_commits` is how many of the next COMMITs reach the server while their answer does not come back: the client
    sees its connection break and cannot know.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.lose_commits = 0
        self.lost = 0

    def url(self, database: str) -> str:
        """Return the URL of a database through the proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def _ways(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
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
                await self._while("stalled")
                to_client.write(data)
                await to_client.drain()

        return forth(), back()
