"""An object of Cloud Storage that is written as a stream: a file of a report, which may be larger than our memory.

What is written goes piece by piece to a resumable upload session. The object comes into being with the last piece,
which only `finish` sends, and only if there is no object of that name: of a report that breaks off nothing is ever
visible, and nothing has to be removed. An unfinished session ends by itself after a week.

Source: https://cloud.google.com/storage/docs/resumable-uploads
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from google.cloud.storage.exceptions import InvalidResponse
from google.cloud.storage.fileio import BlobWriter

from chassis.google.storage_client import STORAGE_FAILURES
from chassis.logs import get_logger
from reporter.errors import storage_unavailable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

log = get_logger(__name__)

PIECE_BYTES = 4 * 1024 * 1024
"""Bytes of a request; so much of a file is held in memory, and twice that while a piece is sent."""

_FAILURES = (*STORAGE_FAILURES, InvalidResponse)
_PRECONDITION_FAILED = 412


class _Session(BlobWriter):  # type: ignore[misc]
    """A resumable upload that ends as an object only when it is told to."""

    whole = False

    def close(self) -> None:
        """Send the last piece, if the file is whole; `io` closes a file also when it is thrown away unfinished."""
        if self.whole:
            super().close()


class ObjectFile(io.BufferedIOBase):
    """A file that can only be appended to, then finished or abandoned; a small one is one request.

    Args:
        bucket: a `google.cloud.storage.Bucket`.
        name: of the object.
        content_type: of the object.
        metadata: of the object.
        retry: for each request.
        on_piece: called after each write that has sent a piece.
    """

    def __init__(
        self,
        bucket: Any,
        name: str,
        *,
        content_type: str,
        metadata: Mapping[str, str],
        retry: Any,
        on_piece: Callable[[], None],
    ) -> None:
        self.name = name
        self._blob = bucket.blob(name)
        self._blob.cache_control = "private, no-store"
        self._blob.metadata = dict(metadata)
        # In the metadata too, because the emulator does not look at the header.
        self._blob.content_type = content_type
        self._content_type = content_type
        self._retry = retry
        self._on_piece = on_piece
        self._size = 0
        self._held = io.BytesIO()
        self._session: _Session | None = None
        # Nothing more is sent: the object exists, or shall not.
        self._is_over = False

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Append bytes; a full piece is sent.

        Raises:
            ApiError: 503 STORAGE_UNAVAILABLE.
        """
        size = memoryview(data).nbytes
        if self._is_over:
            return size
        pieces = self._size // PIECE_BYTES
        self._size += size
        if self._session is not None:
            self._attempt(partial(self._session.write, data))
        else:
            self._held.write(data)
            if self._size >= PIECE_BYTES:
                self._attempt(self._begin_session)
        if self._size // PIECE_BYTES > pieces:
            self._on_piece()
        return size

    def finish(self) -> None:
        """Let the object exist. If it does, an earlier run wrote it from the same rows, which is fine.

        Raises:
            ApiError: 503 STORAGE_UNAVAILABLE.
        """
        if not self._is_over:
            self._attempt(self._create if self._session is None else self._end_session)
        self._is_over, self._held = True, io.BytesIO()

    def abandon(self) -> None:
        """End the upload without an object; nothing happens to one that is finished."""
        self._is_over, self._held = True, io.BytesIO()
        session, self._session = self._session, None
        if session is None or session.whole:
            return
        try:
            session.terminate()
        except _FAILURES as error:
            log.warning("report_object.not_abandoned", object=self.name, error=type(error).__name__)

    def _begin_session(self) -> None:
        held, self._held = self._held, io.BytesIO()
        self._session = _Session(
            self._blob,
            chunk_size=PIECE_BYTES,
            retry=self._retry,
            content_type=self._content_type,
            if_generation_match=0,
        )
        self._session.write(held.getbuffer())

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.whole = True
            self._session.close()

    def _create(self) -> None:
        self._blob.upload_from_string(
            self._held.getvalue(), content_type=self._content_type, if_generation_match=0, retry=self._retry
        )

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except _FAILURES as error:
            if _status(error) == _PRECONDITION_FAILED:
                log.info("report_object.found", object=self.name)
                self._is_over = True
                self._held = io.BytesIO()
                return
            log.warning("report_object.refused", object=self.name, error=type(error).__name__)
            raise storage_unavailable() from error
        except ValueError as error:
            # The library's word for a session that has kept less of a piece than was sent.
            log.warning("report_object.refused", object=self.name, error=type(error).__name__)
            raise storage_unavailable() from error


def _status(error: BaseException) -> int | None:
    # The library's own errors of sessions hold the answer, those of other calls its status.
    answer = error.response if isinstance(error, InvalidResponse) else error
    status = getattr(answer, "status_code", None) or getattr(answer, "code", None)
    return int(status) if isinstance(status, int) else None
