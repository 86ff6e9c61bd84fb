"""Cloud Storage as far as a report is written, with resumable uploads as Google documents them.

The emulator ends an upload that is only asked how far it is, looks at no precondition and takes the same bytes twice;
what has to be known of trouble in the middle of an upload is asked here.
Source: https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import google_crc32c

from support.reporter_service import Answer, Got

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(slots=True)
class Upload:
    """One session: what it has so far, of which object."""

    name: str
    kept: bytearray = field(default_factory=bytearray)
    cancelled: bool = False


class UploadSessions:
    """A bucket. `before` and `after` may answer instead, before a piece was kept or after it; None lets it be."""

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[str, bytes] = {}
        self.uploads: list[Upload] = []
        self.pieces = 0
        self.before: Callable[[Got, int], Answer | None] = lambda _got, _number: None
        self.after: Callable[[Got, int], Answer | None] = lambda _got, _number: None
        self.kept_of_piece: Callable[[int, int], int] = lambda _number, size: size

    def handle(self, got: Got) -> Answer:
        """Answer the calls of Google's client."""
        asked = parse_qs(urlsplit(got.path).query)
        if got.method == "POST" and asked.get("uploadType") == ["resumable"]:
            return self._begin(json.loads(got.body)["name"], asked)
        if got.method == "POST":
            return self._whole(got)
        if got.method == "PUT":
            self.pieces += 1
            number = self.pieces
            answer = self.before(got, number) or self._piece(got, self._upload_of(asked), number)
            return self.after(got, number) or answer
        if got.method == "DELETE":
            self._upload_of(asked).cancelled = True
            return Answer(499)
        # The library asks for the bucket itself, to name it in its traces.
        return Answer(403)

    def _upload_of(self, asked: dict[str, list[str]]) -> Upload:
        return self.uploads[int(asked["upload_id"][0])]

    def _begin(self, name: str, asked: dict[str, list[str]]) -> Answer:
        if asked.get("ifGenerationMatch") == ["0"] and name in self.objects:
            return Answer(412)
        self.uploads.append(Upload(name))
        return Answer(200, b"", {"Location": f"{self.url}/session?upload_id={len(self.uploads) - 1}"})

    def _piece(self, got: Got, upload: Upload, number: int) -> Answer:
        found = _RANGE.fullmatch(got.headers["content-range"])
        assert found is not None, got.headers["content-range"]
        first, _last, total = found.groups()
        if upload.cancelled:
            return Answer(499)
        if first is not None:
            start = int(first)
            assert start <= len(upload.kept), "a hole in the upload"
            # Bytes that are kept already are passed over.
            body = got.body[: self.kept_of_piece(number, len(got.body))]
            upload.kept += body[len(upload.kept) - start :]
        if total == "*" or len(upload.kept) < int(total):
            return Answer(308, b"", {"Range": f"bytes=0-{len(upload.kept) - 1}"})
        if upload.name in self.objects:
            return Answer(412)
        return self._store(upload.name, bytes(upload.kept))

    def _whole(self, got: Got) -> Answer:
        boundary = got.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        _preamble, metadata, content, _end = got.body.split(b"--" + boundary)
        name = json.loads(metadata.partition(b"\r\n\r\n")[2])["name"]
        if name in self.objects:
            return Answer(412)
        return self._store(name, content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"))

    def _store(self, name: str, content: bytes) -> Answer:
        self.objects[name] = content
        found = {
            "name": name,
            "size": str(len(content)),
            "md5Hash": base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode(),
            "crc32c": base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
        }
        return Answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})
