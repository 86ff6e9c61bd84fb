"""Reads sheets from Cloud Storage: whole if they are small, piece by piece if they are not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

import google.api_core.exceptions

from chassis.google.storage_client import STORAGE_FAILURES, retried
from chassis.limits import over_limit_facts
from ingest.errors import ApiError, Reason, Status, not_found, unavailable
from ingest.sheets.body import PIECE_BYTES, SheetBody

_RETRY = retried(for_s=1.5)
_SESSION_TIMEOUT_S = 5.0
_READ_BYTES = 8 * 1024 * 1024
"""Bytes of one request to Cloud Storage: what a sheet that is read piece by piece holds in memory."""


@dataclass(frozen=True, slots=True)
class StoredSheet:
    """An object as it was found: a later one of the same name is another sheet."""

    uri: str
    size_bytes: int
    generation: int


class SheetStorage(Protocol):
    """Reads sheets from Cloud Storage. All methods raise 404 SHEET_NOT_FOUND and 503 STORAGE_UNAVAILABLE."""

    def find(self, uri: str, *, max_bytes: int, limit: str) -> StoredSheet:
        """Return an object without reading it; `limit` is the name of the limit of its bytes.

        Raises:
            ApiError: also 413 SHEET_TOO_LARGE.
        """
        ...

    def read(self, sheet: StoredSheet) -> bytes:
        """Return the content of a sheet that may be held in memory."""
        ...

    def body(self, sheet: StoredSheet) -> SheetBody:
        """Return the content of a sheet, to be read piece by piece; reading raises the same errors."""
        ...

    def begin_upload(self, uri: str, *, size_bytes: int | None) -> str:
        """Return the URL of a resumable upload that makes an object which does not exist yet.

        Whoever has the URL can upload, once, without an account: it is as secret as a key.

        Args:
            uri: the object, `gs://bucket/name`.
            size_bytes: Cloud Storage refuses an upload of any other size; None allows any.
        """
        ...


class CloudSheetStorage:
    """Google's Cloud Storage, or an emulator of it.

    Args:
        client: `google.cloud.storage.Client`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def find(self, uri: str, *, max_bytes: int, limit: str) -> StoredSheet:
        """Return an object without reading it; `limit` is the name of the limit of its bytes.

        Raises:
            ApiError: 404 SHEET_NOT_FOUND, 413 SHEET_TOO_LARGE, 503 STORAGE_UNAVAILABLE.
        """
        blob = self._blob(uri)
        with _told(uri):
            blob.reload(retry=_RETRY)
        sheet = StoredSheet(uri, int(blob.size or 0), int(blob.generation or 0))
        if sheet.size_bytes > max_bytes:
            raise too_large(sheet, max_bytes, limit)
        return sheet

    def read(self, sheet: StoredSheet) -> bytes:
        """Return the content of a sheet that may be held in memory.

        Raises:
            ApiError: 404 SHEET_NOT_FOUND, 503 STORAGE_UNAVAILABLE.
        """
        # `raw_download` keeps a gzip-encoded object from growing behind the measured size; it is then refused as a gzip
        # file.
        with _told(sheet.uri):
            content: bytes = self._blob(sheet.uri).download_as_bytes(
                raw_download=True, if_generation_match=sheet.generation, retry=_RETRY
            )
        return content

    def body(self, sheet: StoredSheet) -> SheetBody:
        """Return the content of a sheet, to be read piece by piece; reading raises the same errors.

        Raises:
            ApiError: 404 SHEET_NOT_FOUND, 503 STORAGE_UNAVAILABLE.
        """
        return _StoredBody(self._blob(sheet.uri), sheet)

    def begin_upload(self, uri: str, *, size_bytes: int | None) -> str:
        """Return the URL of a resumable upload that makes an object which does not exist yet.

        Source: https://cloud.google.com/storage/docs/resumable-uploads#session-uris

        Raises:
            ApiError: 404 SHEET_NOT_FOUND when there is no such bucket, 503 STORAGE_UNAVAILABLE.
        """
        with _told(uri):
            url: str = self._blob(uri).create_resumable_upload_session(
                content_type="text/csv", size=size_bytes, if_generation_match=0, timeout=_SESSION_TIMEOUT_S
            )
        return url

    def _blob(self, uri: str) -> Any:
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        return self._client.bucket(bucket).blob(name)


def too_large(sheet: StoredSheet, max_bytes: int, limit: str) -> ApiError:
    """Return the 413 of a sheet that has more bytes than the limit of a name."""
    return ApiError(
        Status.INVALID_ARGUMENT,
        Reason.SHEET_TOO_LARGE,
        f"{sheet.uri} has {sheet.size_bytes} bytes; the limit is {max_bytes} bytes.",
        metadata={
            "limit_bytes": str(max_bytes),
            "size_bytes": str(sheet.size_bytes),
            **over_limit_facts(limit, limit=max_bytes, value=sheet.size_bytes),
        },
        http_code=413,
    )


class _StoredBody:
    """A body that is read by ranges of the object that was found."""

    def __init__(self, blob: Any, sheet: StoredSheet) -> None:
        self._blob = blob
        self._sheet = sheet
        self._head: bytes | None = None

    @property
    def size_bytes(self) -> int:
        """Return how many bytes there are."""
        return self._sheet.size_bytes

    @property
    def head(self) -> bytes:
        """Return the first megabyte."""
        if self._head is None:
            with cast(BinaryIO, io.BufferedReader(_Ranges(self._blob, self._sheet, 0, b""), PIECE_BYTES)) as stream:
                self._head = stream.read(PIECE_BYTES)
        return self._head

    def open(self, start: int) -> BinaryIO:
        """Return a stream from a byte on."""
        return cast(BinaryIO, io.BufferedReader(_Ranges(self._blob, self._sheet, start, self.head), _READ_BYTES))


class _Ranges(io.RawIOBase):
    """The bytes of an object from one on, a request for each read."""

    def __init__(self, blob: Any, sheet: StoredSheet, start: int, head: bytes) -> None:
        super().__init__()
        self._head = head
        self._blob = blob
        self._sheet = sheet
        self._at = start

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; 0 at the end."""
        end = min(self._at + len(buffer), self._sheet.size_bytes)
        if end <= self._at:
            return 0
        if self._at < len(self._head):
            # A sheet's layout is found by reading its begin a few times over.
            piece = self._head[self._at : end]
            buffer[: len(piece)] = piece
            self._at += len(piece)
            return len(piece)
        with _told(self._sheet.uri):
            piece = self._blob.download_as_bytes(
                start=self._at,
                end=end - 1,
                raw_download=True,
                if_generation_match=self._sheet.generation,
                retry=_RETRY,
            )
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """Turn what Google's library raises into our errors."""
    try:
        yield
    except (google.api_core.exceptions.NotFound, google.api_core.exceptions.PreconditionFailed) as error:
        raise not_found(Reason.SHEET_NOT_FOUND, f"There is no object {uri}.", uri=uri) from error
    except google.api_core.exceptions.Forbidden as error:
        raise not_found(Reason.SHEET_NOT_FOUND, f"Ingest may not read {uri}.", uri=uri) from error
    except STORAGE_FAILURES as error:
        raise unavailable(Reason.STORAGE_UNAVAILABLE, "Cloud Storage did not deliver the sheet.") from error
