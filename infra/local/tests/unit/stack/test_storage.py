"""The storage starter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
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


def test_objects_leave_the_emulator_small(tmp_path: Path, client_of: Any) -> None:
    """It cleans up its memory seldom, but never takes more than a few times what one object needs."""
    server = Storage(tmp_path / "storage", next(_blocks(1)))
    server.start()
    try:
        server.create_buckets(["photos"], project="demo")
        bucket = client_of(server).bucket("photos")
        for number in range(100):
            bucket.blob(f"{number}.jpg").upload_from_string(bytes(2_000_000), content_type="image/jpeg")
        assert server._process is not None
        used = psutil.Process(server._process.pid).memory_info().rss
    finally:
        server.stop()

    assert used < 256 * 1024 * 1024


def test_the_emulator_cleans_up_less_often_than_go_does_by_itself(tmp_path: Path) -> None:
    environment = Storage(tmp_path / "storage", 1).command().environment

    assert int(environment["GOGC"]) > 100
