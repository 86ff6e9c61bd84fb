"""The sheet of the bench, and where it lies: a file that is read by ranges, as an object is."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from ingest.clients.sheet_storage import StoredSheet
from ingest.sheets.body import PIECE_BYTES, SheetBody

URI = "gs://bench/sheet.csv"
HOSTS = 20
PARTS = ("start", "middle", "end")
"""Of a batch, at which costs are measured."""

REPEATED = 10
"""Every tenth row has the link of an earlier one."""


class FileSheets:
    """Sheets that lie in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, uri: str, *, max_bytes: int, limit: str) -> StoredSheet:  # noqa: ARG002
        """Return the file."""
        return StoredSheet(uri, self._path.stat().st_size, 1)

    def read(self, sheet: StoredSheet) -> bytes:  # noqa: ARG002
        """Return the whole file."""
        return self._path.read_bytes()

    def body(self, sheet: StoredSheet) -> SheetBody:
        """Return the file, to be read piece by piece."""
        return _FileBody(self._path, sheet.size_bytes)

    def begin_upload(self, uri: str, *, size_bytes: int | None) -> str:
        """Refuse: nothing is uploaded here."""
        raise NotImplementedError


class _FileBody:
    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self.size_bytes = size_bytes

    @property
    def head(self) -> bytes:
        with self._path.open("rb") as stream:
            return stream.read(PIECE_BYTES)

    def open(self, start: int) -> BinaryIO:
        stream = self._path.open("rb", buffering=8 * 1024 * 1024)
        stream.seek(start)
        return stream


def write_sheet(path: Path, rows: int) -> None:
    """Write a sheet with one link a row."""
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write("S. No.,Product Name,Description,Input Image Urls\r\n")
        for row in range(rows):
            link = row // REPEATED if row % REPEATED == REPEATED - 1 else row
            name = f"Product number {row} of a catalogue"
            out.write(
                f'{row},{name},"What is said of it, in a few words",https://h{link % HOSTS}.example/p/{link}.jpg\r\n'
            )
