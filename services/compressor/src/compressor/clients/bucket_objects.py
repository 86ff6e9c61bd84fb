"""Objects created and looked up in Cloud Storage with one request each, over kept connections, as the client would.

`Blob.upload_from_string` and `reload` take two to three times the processor time for the same requests: they look up
proxies in the environment at each call, and pass through layers for tracing, retries and large files that nothing here
needs. Source: https://cloud.google.com/storage/docs/json_api/v1/objects/insert and .../get
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import google.api_core.exceptions
import google_crc32c
import urllib3

from chassis.auth.oidc import SingleTry
from chassis.google.silence import SilenceBounds, in_pieces
from chassis.google.storage_client import retried

RETRY = retried(for_s=20.0)
"""The picture would have to be made again; the client's own 120 s would outlive the task."""

_TOKEN_TIMEOUT_S = 3.0
_REASON_CHARS = 300


class BucketObjects:
    """Creates objects in one bucket, each only if none has its name, and looks them up.

    Args:
        client: a `google.cloud.storage.Client`; its endpoint and credentials are used, its session is not.
        bucket: the bucket's name.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._endpoint = client.api_endpoint
        self._credentials = client._credentials  # noqa: SLF001 - there is no other way to ask for them
        self._token_request = SingleTry(_TOKEN_TIMEOUT_S)
        self._pool = SilenceBounds().new_pools().connection_from_url(client.api_endpoint)
        # `ifGenerationMatch=0`: only where there is no object. `fields`: we need nothing of what would be answered.
        query = "uploadType=multipart&ifGenerationMatch=0&fields=generation"
        path = f"storage/v1/b/{quote(bucket, safe='')}/o"
        root = (urllib3.util.parse_url(client.api_endpoint).path or "").rstrip("/")
        self._create_path = f"{root}/upload/{path}?{query}"
        self._find_path = f"{root}/{path}"
        self._send_until_answered = RETRY(self._send)

    def create(self, name: str, data: bytes, *, content_type: str, described: Mapping[str, Any]) -> None:
        """Create an object; what arrives damaged is refused by its checksum, what fails for a while is sent again.

        Args:
            name: of the object.
            data: its bytes.
            content_type: its media type.
            described: further fields of the object resource.

        Raises:
            google.api_core.exceptions.PreconditionFailed: there is an object of this name; also what a repeat meets
                whose first try was stored but not answered.
            google.api_core.exceptions.GoogleAPIError: another refusal, or no answer in the time of `RETRY`.
            google.auth.exceptions.GoogleAuthError, ApiError: there is no access token.
        """
        checksum = google_crc32c.value(data).to_bytes(4, "big")
        resource = {
            **described,
            "name": name,
            "contentType": content_type,
            "crc32c": base64.b64encode(checksum).decode(),
        }
        boundary = uuid.uuid4().hex
        heads = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(resource)}\r\n",
            f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n",
        )
        body = b"".join((*(head.encode() for head in heads), data, f"\r\n--{boundary}--".encode()))
        headers = {"Content-Type": f'multipart/related; boundary="{boundary}"', "Content-Length": str(len(body))}
        self._send_until_answered("POST", self._create_path, headers, body)

    def find(self, name: str) -> dict[str, Any] | None:
        """Return `size` and `metadata` of an object as the API tells them; None when there is none of this name.

        Raises:
            google.api_core.exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError, ApiError: as `create`.
        """
        path = f"{self._find_path}/{quote(name, safe='')}?fields=size,metadata"
        try:
            found: dict[str, Any] = json.loads(self._send_until_answered("GET", path, {}, None))
        except google.api_core.exceptions.NotFound:
            return None
        return found

    def _send(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> bytes:
        self._credentials.before_request(self._token_request, method, f"{self._endpoint}{path}", headers)
        # A body is read anew for each try.
        pieces = None if body is None else in_pieces(body)
        answer = self._pool.urlopen(method, path, body=pieces, headers=headers, retries=False, redirect=False)
        if not 200 <= answer.status < 300:
            reason = answer.data[:_REASON_CHARS].decode("utf-8", "replace")
            raise google.api_core.exceptions.from_http_status(answer.status, reason)  # type: ignore[no-untyped-call]
        return bytes(answer.data)
