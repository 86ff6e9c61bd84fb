"""Directories of TIFF, which EXIF is too: read as far as wanted, and written. Pure.

Values are never copied before they are asked for, so that a directory whose entries all point to the same megabytes
costs nothing. Source: TIFF 6.0, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_INTEGER_TYPES = frozenset({1, 3, 4, 13})
Order = Literal["little", "big"]
LONG = 4
ASCII_TYPE = 2
_TEXT_TYPES = frozenset({ASCII_TYPE, 129})  # 129: UTF-8, Exif 3.0
_MARKS: dict[Order, bytes] = {"little": b"II*\0", "big": b"MM\0*"}
_MAX_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its type, its number of values, and its bytes in the order of the file."""

    kind: int
    count: int
    value: bytes


class BrokenDirectoryError(Exception):
    """There is no directory where one should be."""


class Directory:
    """The entries of one directory by tag; `following` is where the next one begins, or 0."""

    def __init__(self, data: bytes, at: int, order: Order) -> None:
        self.order = order
        self._data = data
        self._places: dict[int, tuple[int, int, int]] = {}
        count = self._number(at, 2)
        for place in range(at + 2, at + 2 + 12 * min(count, _MAX_ENTRIES), 12):
            if place + 12 > len(data):
                break
            tag, kind, values = self._number(place, 2), self._number(place + 2, 2), self._number(place + 4, 4)
            size = _TYPE_BYTES.get(kind, 0) * values
            begin = place + 8 if size <= 4 else self._number(place + 8, 4)
            if size and begin + size <= len(data):
                self._places.setdefault(tag, (kind, values, begin))
        end = at + 2 + 12 * count
        self.following = self._number(end, 4) if end + 4 <= len(data) else 0

    def _number(self, at: int, size: int) -> int:
        if at + size > len(self._data):
            raise BrokenDirectoryError
        return int.from_bytes(self._data[at : at + size], self.order)

    def __contains__(self, tag: int) -> bool:
        return tag in self._places

    def entry(self, tag: int, max_bytes: int) -> Entry | None:
        """Return an entry of at most so many bytes; None when there is no such."""
        if tag not in self._places:
            return None
        kind, count, begin = self._places[tag]
        size = _TYPE_BYTES[kind] * count
        return Entry(kind, count, self._data[begin : begin + size]) if size <= max_bytes else None

    def text(self, tag: int, max_bytes: int) -> bytes | None:
        """Return the beginning of a text, as it stands there; None when the entry is none."""
        kind, count, begin = self._places.get(tag, (0, 0, 0))
        if kind not in _TEXT_TYPES:
            return None
        return self._data[begin : begin + min(count, max_bytes)]

    def numbers(self, tag: int, max_values: int = 16) -> tuple[int, ...]:
        """Return an entry's integers; nothing when there are none or too many."""
        kind, count, begin = self._places.get(tag, (0, 0, 0))
        if kind not in _INTEGER_TYPES or count > max_values:
            return ()
        size = _TYPE_BYTES[kind]
        return tuple(self._number(begin + number * size, size) for number in range(count))

    def number(self, tag: int, default: int) -> int:
        """Return an entry's first integer."""
        return next(iter(self.numbers(tag)), default)

    def child(self, tag: int) -> Directory | None:
        """Return the directory that an entry points to; None when it cannot be read."""
        at = self.number(tag, 0)
        try:
            return Directory(self._data, at, self.order) if at else None
        except BrokenDirectoryError:
            return None


def first_directory(data: bytes) -> Directory:
    """Return the first directory of a TIFF file or an EXIF block.

    Raises:
        BrokenDirectoryError: it is none.
    """
    if data[:4] not in _MARKS.values() or len(data) < 8:
        raise BrokenDirectoryError
    order: Order = "little" if data[:1] == b"I" else "big"
    return Directory(data, int.from_bytes(data[4:8], order), order)


def block(
    order: Order, entries: Mapping[int, Entry], children: Mapping[int, Mapping[int, Entry]], *, at: int = 0
) -> bytes:
    """Return a TIFF file of one directory, or that directory as it will lie at a place of a file.

    Args:
        order: `little` or `big`, the values' own.
        entries: by tag.
        children: further directories by the tags that point to them.
        at: where the directory will lie; 0: in a file of its own.
    """
    mark = b"" if at else _MARKS[order] + (8).to_bytes(4, order)
    fixed = _directory_bytes(len(entries) + len(children))
    at, behind = (at or len(mark)) + fixed, b""
    pointers = {}
    for tag, child in children.items():
        pointers[tag] = Entry(LONG, 1, (at + len(behind)).to_bytes(4, order))
        behind += _directory(order, child, at + len(behind) + _directory_bytes(len(child)))
    own = _directory(order, {**entries, **pointers}, at + len(behind))
    return mark + own[:fixed] + behind + own[fixed:]


def _directory_bytes(count: int) -> int:
    return 2 + 12 * count + 4


def _directory(order: Order, entries: Mapping[int, Entry], at: int) -> bytes:
    """Return a directory and behind it its long values, which will lie at `at`."""
    head, values = len(entries).to_bytes(2, order), b""
    for tag, entry in sorted(entries.items()):
        value = entry.value
        if len(value) > 4:
            value = (at + len(values)).to_bytes(4, order)
            values += entry.value + bytes(len(entry.value) % 2)
        numbers = ((tag, 2), (entry.kind, 2), (entry.count, 4))
        head += b"".join(number.to_bytes(size, order) for number, size in numbers)
        head += value.ljust(4, b"\0")
    return head + bytes(4) + values
