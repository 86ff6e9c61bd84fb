"""A batch as ingest exports it: one NDJSON line for the batch, one per row of the sheet, one that ends it.

Knows nothing of HTTP. The shapes are workflows/contracts/export_{batch,row,end}.schema.json. A stream that does not
add up is refused, because a report made of it would silently lack rows.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FROZEN_STATUSES = frozenset({"SEALING", "COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"})
"""The statuses in which no row of a batch can change any more."""


class ExportError(Exception):
    """The stream is cut short, malformed or contradicts itself; the message says where."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the roles are in the sheet, as indexes of the header; `output` and `errors` are None when absent."""

    urls: tuple[int, ...]
    output: int | None
    errors: int | None


@dataclass(frozen=True, slots=True)
class Writing:
    """How the CSV files are written: the defaults are those of batches that do not say."""

    encoding: str = "utf-8"
    codec: str = "utf-8"
    bom: bool = True
    delimiter: str = ","
    line_end: str = "\r\n"
    quote_all: bool = False


@dataclass(frozen=True, slots=True)
class ExportBatch:
    """The first line: what holds for the whole sheet."""

    request_id: str
    owner: str | None
    generation: int
    status: str
    image_total: int
    source_name: str
    header: tuple[str, ...]
    columns: Columns
    writing: Writing = Writing()
    came_as_workbook: bool = False

    @property
    def is_frozen(self) -> bool:
        """Tell whether the rows are final."""
        return self.status in FROZEN_STATUSES


@dataclass(frozen=True, slots=True)
class ExportImage:
    """One slot of a row; `facts` is the line's whole object, `{"slot": 0, "input_url": ..., "bytes_in": ...}`."""

    slot: int
    input_url: str
    status: str
    code: str | None
    detail: str | None
    output_url: str | None
    facts: Mapping[str, Any]
    column: int | None = None

    @property
    def failed(self) -> bool:
        """Tell whether the slot has no compressed image, for whatever reason."""
        return self.status != "SUCCEEDED" or not self.output_url


@dataclass(frozen=True, slots=True)
class ExportProblem:
    """Why a row was left out of the batch; `facts` is the problem's whole object."""

    code: str
    message: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One row of the sheet with every input cell; `problems` only where it was left out (`on_invalid=skip`)."""

    row_number: int
    serial: str
    product_name: str
    cells: tuple[str, ...]
    images: tuple[ExportImage, ...]
    problems: tuple[ExportProblem, ...] = ()


def read_export(lines: Iterator[bytes]) -> tuple[ExportBatch, Iterator[ExportRow]]:
    """Return the batch and its rows, read as they are asked for.

    The rows' iterator checks the stream when it comes to its end, so it must be exhausted.

    Raises:
        ExportError: the first line is missing or malformed; from the iterator: a later one is, row numbers do not
            rise, the end line is missing or its counts or the batch's total differ from what was read.
    """
    first = next(lines, None)
    if first is None:
        raise ExportError("the stream is empty")
    batch = _batch(_decoded(first, number=1))
    return batch, _rows(lines, batch)


def _rows(lines: Iterator[bytes], batch: ExportBatch) -> Iterator[ExportRow]:
    rows = images = last_row_number = 0
    for number, line in enumerate(lines, start=2):
        record = _decoded(line, number=number)
        match record.get("kind"):
            case "row":
                row = _row(record, number=number)
                if row.row_number <= last_row_number:
                    raise ExportError(f"line {number}: row {row.row_number} comes after row {last_row_number}")
                last_row_number = row.row_number
                rows += 1
                images += len(row.images)
                yield row
            case "end":
                if (record.get("rows"), record.get("images")) != (rows, images):
                    told = f"{record.get('rows')} rows and {record.get('images')} images"
                    raise ExportError(f"its end line tells of {told}, but {rows} and {images} were sent")
                if images != batch.image_total:
                    raise ExportError(f"the batch counts {batch.image_total} images, but {images} were sent")
                if next(lines, None) is not None:
                    raise ExportError("it goes on after its end line")
                return
            case other:
                raise ExportError(f"line {number}: unknown kind {other!r}")
    raise ExportError(f"it broke off after {rows} rows, without its end line")


def _decoded(line: bytes, *, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ExportError(f"line {number} is not JSON") from error
    if not isinstance(record, dict):
        raise ExportError(f"line {number} is not an object")
    return record


def _batch(record: dict[str, Any]) -> ExportBatch:
    try:
        if record["kind"] != "batch":
            raise ExportError("the first line is not the batch")
        header = tuple(str(cell) for cell in record["header"])
        columns = Columns(
            tuple(int(index) for index in record["columns"]["urls"]),
            _index(record["columns"]["output"]),
            _index(record["columns"]["errors"]),
        )
        batch = ExportBatch(
            request_id=str(record["request_id"]),
            owner=None if record["owner"] is None else str(record["owner"]),
            generation=int(record["generation"]),
            status=str(record["status"]),
            image_total=int(record["counts"]["total"]),
            source_name=str(record["source_name"]),
            header=header,
            columns=columns,
            writing=_writing(record.get("written")),
            came_as_workbook=bool(record.get("workbook", False)),
        )
    except (KeyError, TypeError, ValueError, LookupError) as error:
        raise ExportError("the batch line lacks a field or has one of the wrong type") from error
    named = (*columns.urls, *(index for index in (columns.output, columns.errors) if index is not None))
    if any(index >= len(header) for index in named):
        raise ExportError(f"a column lies outside of the header's {len(header)} cells")
    return batch


def _writing(record: Any) -> Writing:
    if record is None:
        return Writing()
    found = Writing(
        encoding=str(record["encoding"]),
        codec=codecs.lookup(str(record["codec"])).name,
        bom=bool(record["bom"]),
        delimiter=str(record["delimiter"]),
        line_end=str(record["line_end"]),
        quote_all=bool(record["quote_all"]),
    )
    if len(found.delimiter) != 1 or found.line_end not in {"\r\n", "\n", "\r"}:
        raise ValueError("a delimiter or a line end that no file has")
    return found


def _index(value: Any) -> int | None:
    return None if value is None else int(value)


def _row(record: dict[str, Any], *, number: int) -> ExportRow:
    try:
        images = tuple(
            ExportImage(
                slot=int(image["slot"]),
                input_url=str(image["input_url"]),
                status=str(image["status"]),
                code=image["code"],
                detail=image["detail"],
                output_url=image["output_url"],
                facts=image,
                column=_index(image.get("column")),
            )
            for image in record["images"]
        )
        row = ExportRow(
            row_number=int(record["row_number"]),
            serial=str(record["serial"]),
            product_name=str(record["product_name"]),
            cells=tuple(str(cell) for cell in record["cells"]),
            images=images,
            problems=tuple(
                ExportProblem(str(problem["code"]), str(problem["message"]), problem)
                for problem in record.get("problems", ())
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"line {number}: a field is missing or of the wrong type") from error
    if len({image.slot for image in images}) != len(images) or any(image.slot < 0 for image in images):
        raise ExportError(f"line {number}: two images share a slot, or a slot is negative")
    return row
