"""The reports' objects in Cloud Storage: written once, never overwritten, read back in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import NotFound

from chassis.google.storage_client import STORAGE_FAILURES, retried
from reporter.clients.object_file import ObjectFile
from reporter.errors import storage_unavailable

WRITE_RETRIED_FOR_S = 20.0
"""Seconds for which a failing write is tried again: the report would have to be made again.

In the middle of a report ingest waits meanwhile, and gives up its export when none of it is taken for a while.
"""

READ_RETRIED_FOR_S = 1.5
"""Seconds for which a failing read is tried again: a client waits for it."""

_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that exists: its size, what it was stored with, and the way to read it from some byte on."""

    size_bytes: int
    content_type: str
    metadata: Mapping[str, str]
    pieces_from: Callable[[int], Iterator[bytes]]


class ReportObjects:
    """One private bucket.

    Args:
        bucket: a `google.cloud.storage.Bucket`.
        write_retried_for_s: seconds for which a failing write is tried again.
    """

    def __init__(self, bucket: Any, *, write_retried_for_s: float = WRITE_RETRIED_FOR_S) -> None:
        self._bucket = bucket
        self._write_retry = retried(for_s=write_retried_for_s)
        self._read_retry = retried(for_s=READ_RETRIED_FOR_S)

    def uri(self, name: str) -> str:
        """Return `gs://BUCKET/NAME`."""
        return f"gs://{self._bucket.name}/{name}"

    def begin(
        self,
        name: str,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        on_piece: Callable[[], None] = lambda: None,
    ) -> ObjectFile:
        """Return a file whose content becomes an object when it is finished, unless there is one by then.

        Args:
            name: of the object.
            content_type: of the object.
            metadata: of the object.
            on_piece: called each time when pieces have gone to storage and no object exists yet.
        """
        return ObjectFile(
            self._bucket,
            name,
            content_type=content_type,
            metadata=metadata or {},
            retry=self._write_retry,
            on_piece=on_piece,
        )

    def open(self, name: str) -> StoredObject | None:
        """Return an object; None when there is none.

        Raises:
            ApiError: 503 STORAGE_UNAVAILABLE.
        """
        try:
            blob = self._bucket.get_blob(name, retry=self._read_retry)
        except NotFound:
            return None
        except STORAGE_FAILURES as error:
            raise storage_unavailable() from error
        if blob is None:
            return None
        size_bytes, retry = int(blob.size), self._read_retry

        def pieces_from(start: int) -> Iterator[bytes]:
            return _pieces(blob, start=start, size_bytes=max(0, size_bytes - start), retry=retry)

        return StoredObject(size_bytes, str(blob.content_type or ""), dict(blob.metadata or {}), pieces_from)


def _pieces(blob: Any, *, start: int, size_bytes: int, retry: Any) -> Iterator[bytes]:
    if size_bytes == 0:
        return
    with blob.open("rb", chunk_size=_PIECE_BYTES, retry=retry) as reader:
        reader.seek(start)
        while piece := reader.read(_PIECE_BYTES):
            yield piece
