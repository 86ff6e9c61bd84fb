"""The bytes of a sheet, wherever they lie: in memory, or in an object that is read piece by piece.

Whoever reads a sheet asks for pieces and never for the whole, so a sheet of a gigabyte takes no more memory than one of
a megabyte.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

PIECE_BYTES = 1024 * 1024


class SheetBody(Protocol):
    """The bytes of a file, which never change while they are read."""

    @property
    def size_bytes(self) -> int:
        """Return how many bytes there are."""
        ...

    @property
    def head(self) -> bytes:
        """Return the first bytes, at least a megabyte unless there are fewer."""
        ...

    def open(self, start: int) -> BinaryIO:
        """Return a stream from a byte on; the caller closes it. May be called again."""
        ...


@dataclass(frozen=True, slots=True)
class HeldBody:
    """A body in memory."""

    content: bytes

    @property
    def size_bytes(self) -> int:
        """Return how many bytes there are."""
        return len(self.content)

    @property
    def head(self) -> bytes:
        """Return all of them."""
        return self.content

    def open(self, start: int) -> BinaryIO:
        """Return a stream from a byte on."""
        stream = io.BytesIO(self.content)
        stream.seek(start)
        return stream


def pieces_of(body: SheetBody, start: int = 0) -> Iterator[bytes]:
    """Yield the bytes from `start` in pieces of a megabyte."""
    with body.open(start) as stream:
        while piece := stream.read(PIECE_BYTES):
            yield piece


def read_at(body: SheetBody, start: int, count: int) -> bytes:
    """Return `count` bytes from `start`, fewer at the end."""
    if isinstance(body, HeldBody):
        return body.content[start : start + count]
    with body.open(start) as stream:
        found = b""
        while len(found) < count and (piece := stream.read(count - len(found))):
            found += piece
        return found


def line_of(body: SheetBody, position: int) -> int:
    """Return the number of the line, from 1, in which a byte lies."""
    left, line = position, 1
    for piece in pieces_of(body):
        line += piece.count(b"\n", 0, max(0, left))
        left -= len(piece)
        if left <= 0:
            break
    return line


def find_byte(body: SheetBody, wanted: re.Pattern[bytes]) -> tuple[int, int] | None:
    """Return position and value of the first byte that a pattern of one byte matches; None without any."""
    passed = 0
    for piece in pieces_of(body):
        found = wanted.search(piece)
        if found is not None:
            return passed + found.start(), found[0][0]
        passed += len(piece)
    return None
