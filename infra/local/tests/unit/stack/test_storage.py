"""The storage starter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]

from localcloud.stack.free_ports import _blocks
from localcloud.stack.storage import Storage


@pytest.fixture
def client_of() -> Iterator[Any]:
    clients = []

    def make(server: Any) -> Any:
        client = storage.Client(
            project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.base_url}
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client._http.close()


def test_bucket_and_object_survive_a_restart(tmp_path: Path, client_of: Any) -> None:
    """Google's client writes, the emulator stops and starts, the client reads."""
    server = Storage(tmp_path / "storage", next(_blocks(1)))
    server.start()
    try:
        server.create_buckets(["photos"], project="demo")
        server.create_buckets(["photos"], project="demo")
        client_of(server).bucket("photos").blob("a/b.jpg").upload_from_string(b"jpeg", content_type="image/jpeg")
        server.stop()
        server.start()
        blob = client_of(server).bucket("photos").get_blob("a/b.jpg")
        kept = (blob.content_type, blob.download_as_bytes())
    finally:
        server.stop()

    assert kept == ("image/jpeg", b"jpeg")
