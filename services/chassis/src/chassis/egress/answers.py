"""How the head of an answer is read: as browsers read it, and within limits of bytes and lines.

Interim answers (1xx, RFC 9110 section 15.2) before the real one are skipped; http.client skips only 100.
"""

from __future__ import annotations

import http.client
from typing import Annotated, Any

from chassis.egress.faults import EgressError, EgressFault
from chassis.limited import Limited

MAX_HEAD_BYTES: Annotated[
    int, Limited("bytes", "`TOO_LARGE`", "Status lines and headers of an answer to a fetch or webhook", internal=True)
] = 256 * 1024
"""Bytes of all status lines and headers of one answer, the interim ones included; Chromium's limit."""

MAX_HEADERS: Annotated[
    int, Limited("headers", "`TOO_LARGE`", "Headers of an answer to a fetch or webhook", internal=True)
] = 1000
"""Lines of all heads of one answer."""

_MAX_LINE_BYTES = 65536  # http.client's own; a longer line raises LineTooLong there

# Its own limit of 100 is below what browsers read, and its error does not say which limit it was.
http.client._MAXHEADERS = 10 * MAX_HEADERS  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way in 3.11


class _BoundedLines:
    """The lines of an answer's heads, counted. Gives way to the file itself before the body is read."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self._bytes = 0
        self._lines = 0

    def readline(self, limit: int) -> bytes:
        """Return the next line.

        Raises:
            EgressError: TOO_LARGE, a limit of heads is passed.
        """
        line: bytes = self.file.readline(limit)
        self._bytes += len(line)
        self._lines += 1
        if len(line) > _MAX_LINE_BYTES:
            raise EgressError(EgressFault.TOO_LARGE, f"a header of more than {_MAX_LINE_BYTES} bytes")
        if self._bytes > MAX_HEAD_BYTES:
            raise EgressError(EgressFault.TOO_LARGE, f"headers of more than {MAX_HEAD_BYTES} bytes")
        if self._lines > MAX_HEADERS:
            raise EgressError(EgressFault.TOO_LARGE, f"more than {MAX_HEADERS} headers")
        return line

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def flush(self) -> None:
        """Do nothing: the file is only read."""


class Answer(http.client.HTTPResponse):
    """An answer whose head is read as browsers read it."""

    def begin(self) -> None:
        """Read the head.

        Raises:
            EgressError: TOO_LARGE, a limit of heads is passed.
        """
        body: Any = self.fp
        lines: Any = _BoundedLines(body)
        self.fp = lines
        try:
            super().begin()
        finally:
            if self.fp is lines:
                self.fp = body

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        is_interim = 102 <= status < 200
        return version, http.client.CONTINUE if is_interim else status, reason
