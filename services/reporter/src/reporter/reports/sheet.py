"""The text files of a report, written row by row: output.csv, failed.csv and results.jsonl. Pure.

output.csv is the sheet that came in, cell for cell, with two columns more (or filled in place, if the sheet had them):
the compressed URLs and the errors. Within a cell slots are separated by commas and a slot without a value stays empty
between its commas, so that slot i of the output is always slot i of the input.

CSV is written as the sheet was: its delimiter, its line ends, every cell in quotes if it had that; quotes are doubled
(RFC 4180). Cells of the user are written as they came; the cells made here never
begin with a character that a spreadsheet takes for a formula (CWE-1236, OWASP ASVS 5 1.2.10).
"""

from __future__ import annotations

import csv
import json
from typing import Any, TextIO

from reporter.reports.escaping import harmless
from reporter.reports.export_reader import ExportBatch, ExportImage, ExportRow, Writing

BOM = "\ufeff"
"""Excel takes a CSV file for UTF-8 only when it begins with this."""

OUTPUT_HEADER = "Output Image Urls"
ERRORS_HEADER = "Image Errors"

_MAX_DETAIL_CHARS = 300


class _Lines:
    """Takes the rows of a CSV writer and ends each as the sheet's lines end.

    The writer itself ends them with CRLF, so that it quotes every cell with a line break of any kind.
    """

    def __init__(self, out: TextIO, line_end: str) -> None:
        self._out = out
        self._line_end = line_end

    def write(self, row: str) -> int:
        """Write one row."""
        return self._out.write(row.removesuffix("\r\n") + self._line_end)


def _writer(out: TextIO, writing: Writing) -> Any:
    """Return a writer of rows in the sheet's own way, after the byte order mark if there is to be one."""
    if writing.bom:
        out.write(BOM)
    lines = _Lines(out, writing.line_end)
    if writing.quote_all:
        return csv.writer(lines, delimiter=writing.delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    return csv.writer(lines, delimiter=writing.delimiter, lineterminator="\r\n")


class OutputTable:
    """The cells of output.csv and output.xlsx: the user's sheet with the compressed URLs and the errors beside it.

    A missing column is put where the header ends; should a row be longer than its header, its surplus cells follow.
    """

    def __init__(self, batch: ExportBatch) -> None:
        self._columns = batch.columns
        self._width = len(batch.header)
        added = [
            name
            for name, index in ((OUTPUT_HEADER, batch.columns.output), (ERRORS_HEADER, batch.columns.errors))
            if index is None
        ]
        self.header = [*batch.header, *added]

    def cells(self, row: ExportRow) -> list[str]:
        """Return the cells of a row; a blank line has none."""
        if not row.cells and not row.images:
            return []
        cells = [*row.cells, *[""] * (self._width - len(row.cells))]
        added = []
        for index, made in ((self._columns.output, output_cell(row)), (self._columns.errors, errors_cell(row))):
            if index is None:
                added.append(made)
            else:
                cells[index] = made
        return [*cells[: self._width], *added, *cells[self._width :]]


class OutputSheet:
    """output.csv: the table as CSV."""

    def __init__(self, out: TextIO, batch: ExportBatch) -> None:
        self._table = OutputTable(batch)
        self._csv = _writer(out, batch.writing)
        self._csv.writerow(self._table.header)

    def write(self, row: ExportRow) -> None:
        """Write one row; a blank line stays blank."""
        self._csv.writerow(self._table.cells(row))


class FailedSheet:
    """failed.csv: the same header and only the rows with failed slots, each with only its failed URLs in their columns.

    Uploading it again runs exactly those images. Cells beyond the header are dropped: they held further URLs. A row
    that was left out for its problems stands as it came, to be mended.
    """

    def __init__(self, out: TextIO, batch: ExportBatch) -> None:
        self._url_columns = batch.columns.urls
        self._width = len(batch.header)
        self._csv = _writer(out, batch.writing)
        self._csv.writerow(batch.header)

    def write(self, row: ExportRow) -> None:
        """Write the row if any of its slots failed."""
        if row.problems:
            self._csv.writerow(row.cells)
            return
        failed = [image for image in _by_slot(row) if image is not None and image.failed]
        if not failed or not self._url_columns:
            return
        cells = [*row.cells, *[""] * (self._width - len(row.cells))][: self._width]
        first = self._url_columns[0]
        of_column: dict[int, list[str]] = {index: [] for index in self._url_columns}
        for image in failed:
            own = image.column
            of_column[first if own is None or own not in of_column else own].append(image.input_url)
        for index, urls in of_column.items():
            cells[index] = ",".join(urls)
        self._csv.writerow(cells)


class ResultLines:
    """results.jsonl: one object per image with everything the export holds of it.

    `{"request_id": "...", "generation": 1, "row_number": 2, "serial": "1", "product_name": "...", "slot": 0, ...}`
    """

    def __init__(self, out: TextIO, batch: ExportBatch) -> None:
        self._out = out
        # Not the status: it moves on while the rows stand still, and a repeated report must be the same bytes.
        self._batch = {"request_id": batch.request_id, "generation": batch.generation}

    def write(self, row: ExportRow) -> None:
        """Write one line per image, in the order of slots; one with the problems for a row that was left out."""
        place = {"row_number": row.row_number, "serial": row.serial, "product_name": row.product_name}
        if row.problems:
            self._write({**self._batch, **place, "problems": [dict(problem.facts) for problem in row.problems]})
        for image in _by_slot(row):
            if image is not None:
                self._write({**self._batch, **place, **image.facts})

    def _write(self, record: dict[str, Any]) -> None:
        self._out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def output_cell(row: ExportRow) -> str:
    """Return the compressed URLs slot by slot, e.g. `https://.../a.jpg,,https://.../c.jpg`."""
    slots = ["" if image is None or image.failed else _listed_url(image.output_url or "") for image in _by_slot(row)]
    return harmless(",".join(slots))


def errors_cell(row: ExportRow) -> str:
    """Return the errors slot by slot, e.g. `,HTTP_4XX: HTTP 404,`; empty when no slot failed.

    A row that was left out has no slots: its cell lists the problems, e.g. `ROW_SKIPPED: URL_INVALID: ...`.
    """
    if row.problems:
        told = "; ".join(f"{problem.code}: {problem.message[:_MAX_DETAIL_CHARS]}" for problem in row.problems)
        return harmless(_one_line(f"ROW_SKIPPED: {told}"))
    slots = [_error_text(image) if image is not None and image.failed else "" for image in _by_slot(row)]
    return harmless(",".join(slots)) if any(slots) else ""


def _by_slot(row: ExportRow) -> list[ExportImage | None]:
    places: list[ExportImage | None] = [None] * (max((image.slot for image in row.images), default=-1) + 1)
    for image in row.images:
        places[image.slot] = image
    return places


def _listed_url(url: str) -> str:
    """Return the URL without commas, which separate slots."""
    return url.replace(",", "%2C")


def _error_text(image: ExportImage) -> str:
    code = image.code or image.status
    text = f"{code}: {image.detail[:_MAX_DETAIL_CHARS]}" if image.detail else code
    return _one_line(text)


def _one_line(text: str) -> str:
    # Commas separate slots; line breaks and the like would make the cell unreadable in a spreadsheet.
    return "".join(char if char.isprintable() else " " for char in text.replace(",", ";")).strip()
