"""What goes over the wire when an object is created in Cloud Storage."""

from __future__ import annotations

import json

import google.api_core.exceptions
import pytest

from compressor.clients.bucket_objects import BucketObjects
from support.compressor_service import storage_client
from support.scripted_origin import Received, ScriptedOrigin, answer

JSON = [("Content-Type", "application/json")]


def objects_at(server: ScriptedOrigin, bucket: str = "images") -> BucketObjects:
    return BucketObjects(storage_client(server.url("").rstrip("/")), bucket)


def upload(server: ScriptedOrigin, data: bytes = b"\xff\xd8 bytes") -> Received:
    """Create one object and return the one request that it took."""
    server.on("/upload/", answer(b"{}", headers=JSON))
    objects_at(server).create("a/b.jpg", data, content_type="image/jpeg", described={"cacheControl": "public"})
    (request,) = server.received
    return request


def test_an_object_is_one_request_that_creates_and_never_overwrites() -> None:
    with ScriptedOrigin() as server:
        request = upload(server)

    path, _, query = request.target.partition("?")
    assert (request.method, path) == ("POST", "/upload/storage/v1/b/images/o")
    assert {"uploadType=multipart", "ifGenerationMatch=0"} < set(query.split("&"))


def test_an_object_carries_its_description_and_its_bytes() -> None:
    data = b"\r\n--x\r\n" + bytes(range(256))
    with ScriptedOrigin() as server:
        request = upload(server, data)

    kind, _, boundary = request.headers["content-type"].partition("; boundary=")
    head, described, media, end = request.body.split(b"--" + boundary.strip('"').encode())
    resource = json.loads(described.partition(b"\r\n\r\n")[2])
    assert (kind, head, end) == ("multipart/related", b"", b"--")
    assert media.partition(b"\r\n\r\n")[2] == data + b"\r\n"
    assert {key: resource[key] for key in ("name", "contentType", "cacheControl")} == {
        "name": "a/b.jpg",
        "contentType": "image/jpeg",
        "cacheControl": "public",
    }


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there: an upload that went to it would fail."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with ScriptedOrigin() as server:
        assert upload(server).method == "POST"


class OneToken:
    """Credentials as google-auth has them."""

    def before_request(self, _request: object, _method: str, _url: str, headers: dict[str, str]) -> None:
        """Add the token."""
        headers["authorization"] = "Bearer of-this-service"


def test_an_upload_carries_the_credentials_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedOrigin() as server:
        client = storage_client(server.url("").rstrip("/"))
        monkeypatch.setattr(client, "_credentials", OneToken())
        server.on("/upload/", answer(b"{}", headers=JSON))
        BucketObjects(client, "images").create("a.jpg", b"x", content_type="image/jpeg", described={})

    assert server.received[0].headers["authorization"] == "Bearer of-this-service"


def test_a_refusal_is_not_sent_again() -> None:
    with ScriptedOrigin() as server:
        server.on("/upload/", answer(b'{"error": {"code": 403}}', status=403, headers=JSON))
        with pytest.raises(google.api_core.exceptions.Forbidden):
            objects_at(server).create("a.jpg", b"x", content_type="image/jpeg", described={})

    assert len(server.received) == 1


def test_an_object_that_is_there_is_told_apart() -> None:
    with ScriptedOrigin() as server:
        server.on("/upload/", answer(b"{}", status=412, headers=JSON))
        with pytest.raises(google.api_core.exceptions.PreconditionFailed):
            objects_at(server).create("a.jpg", b"x", content_type="image/jpeg", described={})
