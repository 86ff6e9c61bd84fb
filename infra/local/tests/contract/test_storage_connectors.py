"""Storage connectors against the storage emulator of the stack: what a workflow writes is what it reads."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.core.clock import SystemClock
from localcloud.identity.engine.issuer import AccountTokens, TokenIssuer
from localcloud.stack.storage import Storage
from localcloud.workflows.connectors.registry import connector_methods
from localcloud.workflows.engine.http_client import AiohttpCaller
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.runtime.host import Host

METHODS = connector_methods()
TOKENS = AccountTokens(TokenIssuer(SystemClock()), "workflows@demo.iam.gserviceaccount.com")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    storage = Storage(tmp_path_factory.mktemp("storage"), port)
    storage.start()
    yield storage
    storage.stop()


@pytest.fixture
def bucket(storage: Storage) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    call(storage, ("buckets.insert", {"project": "demo", "body": {"name": name}}))
    return name


def call(storage: Storage, *calls: tuple[str, dict[str, Any]]) -> Any:
    """Make the calls one after the other, as one execution does, and return the last answer."""

    async def make() -> Any:
        http = AiohttpCaller({"storage": storage.base_url}, SystemClock())
        await http.start()
        unused: Any = None
        host = Host(clock=SystemClock(), http=http, tokens=TOKENS, callbacks=unused, log=unused, observer=unused)
        answer = None
        try:
            for name, arguments in calls:
                answer = await METHODS[f"googleapis.storage.v1.{name}"](host, arguments)
        finally:
            await http.stop()
        return answer

    return asyncio.run(make())


def insert(bucket: str, name: str, body: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return "objects.insert", {"bucket": bucket, "name": name, "uploadType": "media", "body": body, **more}


def get(bucket: str, name: str) -> tuple[str, dict[str, Any]]:
    return "objects.get", {"bucket": bucket, "object": name, "alt": "media"}


@pytest.mark.parametrize("body", [{"a": [1, None]}, "text, é", b"\x00\xff"], ids=["value", "text", "bytes"])
def test_object_is_read_as_it_was_written(storage: Storage, bucket: str, body: Any) -> None:
    """JSON values, text and bytes come back as such, under a name with a slash."""
    assert call(storage, insert(bucket, "dir/file", body), get(bucket, "dir%2Ffile")) == body


def test_object_is_created_only_once(storage: Storage, bucket: str) -> None:
    """`ifGenerationMatch: 0` makes the second create a 412."""
    create = insert(bucket, "once", "first", ifGenerationMatch=0)

    with pytest.raises(WorkflowError) as caught:
        call(storage, create, create)

    assert caught.value.value["code"] == 412


def test_objects_are_listed_by_prefix(storage: Storage, bucket: str) -> None:
    """A list has the objects below its prefix."""
    listed = call(
        storage,
        insert(bucket, "a/1", "x"),
        insert(bucket, "b/1", "x"),
        ("objects.list", {"bucket": bucket, "prefix": "a/"}),
    )

    assert [item["name"] for item in listed["items"]] == ["a/1"]


def test_copied_object_has_the_content(storage: Storage, bucket: str) -> None:
    """A copy is an object of its own."""
    copy = {
        "sourceBucket": bucket,
        "sourceObject": "from",
        "destinationBucket": bucket,
        "destinationObject": "to%2Fthere",
    }

    assert call(storage, insert(bucket, "from", "x"), ("objects.copy", copy), get(bucket, "to%2Fthere")) == "x"


def test_patched_object_has_the_metadata(storage: Storage, bucket: str) -> None:
    """Metadata can be changed after the upload."""
    body = {"metadata": {"colour": "red"}}

    patched = call(
        storage,
        insert(bucket, "o", "x"),
        ("objects.patch", {"bucket": bucket, "object": "o", "body": body}),
    )

    assert patched["metadata"] == {"colour": "red"}


def test_deleted_object_is_not_found(storage: Storage, bucket: str) -> None:
    """Reading what is gone is an HttpError 404."""
    with pytest.raises(WorkflowError) as caught:
        call(
            storage,
            insert(bucket, "o", "x"),
            ("objects.delete", {"bucket": bucket, "object": "o"}),
            get(bucket, "o"),
        )

    assert caught.value.value["code"] == 404
