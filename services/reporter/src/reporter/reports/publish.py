"""Publishes the report of a batch: reads the sealed rows once, writes the objects, then the row that names them.

May be called any number of times, also at once: object names are made of ids, objects are create-only with content
made of rows that cannot change any more, and the first row wins.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, TextIO
from uuid import UUID

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.http.fields import storable
from chassis.logs import get_logger
from reporter.dependencies import Dependencies
from reporter.errors import batch_not_sealed, export_incomplete
from reporter.failpoints import Failpoint
from reporter.reports.export_reader import ExportBatch, ExportError, ExportRow, Writing, read_export
from reporter.reports.links import (
    CONTENT_TYPES,
    CSV_FILES,
    FAILED_CSV,
    OUTPUT_CSV,
    OUTPUT_XLSX,
    REPORT_HTML,
    RESULTS_JSONL,
)
from reporter.reports.page import ReportPage
from reporter.reports.sheet import FailedSheet, OutputSheet, ResultLines
from reporter.reports.workbook import OutputWorkbook
from reporter.state.reports import Report, find_report, record_report

log = get_logger(__name__)

EXPORT_TIMEOUT_S = 120.0
"""Seconds without a byte from ingest after which the export counts as broken."""

SPOOL_BYTES = 8 * 1024 * 1024
"""A file of a report is held in memory up to this size, then in the temporary folder."""

_Writer = OutputSheet | FailedSheet | ResultLines

_WRITERS: dict[str, Callable[[TextIO, ExportBatch], _Writer]] = {
    OUTPUT_CSV: OutputSheet,
    FAILED_CSV: FailedSheet,
    RESULTS_JSONL: ResultLines,
}


@dataclass(frozen=True, slots=True)
class _Written:
    """The files, complete, and what went into them; `xlsx_left_out` says why a workbook has no output.xlsx."""

    files: dict[str, IO[bytes]]
    row_count: int
    image_count: int
    xlsx_left_out: str | None


def publish_report(dependencies: Dependencies, request_id: UUID) -> Report:
    """Return the batch's report, published now or before.

    Raises:
        ApiError: 400 BATCH_NOT_SEALED; 503 EXPORT_INCOMPLETE when ingest's stream is cut or contradicts itself;
            503 STORAGE_UNAVAILABLE; ingest's own error, such as an unknown batch.
    """
    clock = dependencies.clock
    started = clock.monotonic()
    with ExitStack() as spools:
        try:
            path = f"/internal/batches/{request_id}/export"
            with dependencies.ingest.stream_lines(path, timeout_s=EXPORT_TIMEOUT_S) as lines:
                batch, rows = read_export(lines)
                _check(batch, request_id)
                known = transact(dependencies.engine, lambda c: find_report(c, request_id, generation=batch.generation))
                if known is not None:
                    return known
                written = _write_files(batch, rows, spools)
        except ExportError as error:
            log.warning("export.refused", request_id=str(request_id), fault=str(error))
            raise export_incomplete(str(request_id), str(error)) from error
        reach(Failpoint.REPORT_WRITTEN)
        names = _store(dependencies, batch, written)
    report = Report(
        request_id=request_id,
        generation=batch.generation,
        owner=batch.owner,
        source_name=batch.source_name,
        output_csv=names[OUTPUT_CSV],
        failed_csv=names[FAILED_CSV],
        results_jsonl=names[RESULTS_JSONL],
        row_count=written.row_count,
        image_count=written.image_count,
        output_xlsx=names.get(OUTPUT_XLSX),
        xlsx_left_out=written.xlsx_left_out,
        report_html=names[REPORT_HTML],
    )
    log.info(
        "report.published",
        request_id=str(request_id),
        generation=batch.generation,
        rows=written.row_count,
        images=written.image_count,
        elapsed_ms=round((clock.monotonic() - started) * 1000),
    )
    reach(Failpoint.REPORT_STORED)
    recorded = transact(dependencies.engine, lambda c: record_report(c, report))
    reach(Failpoint.REPORT_RECORDED)
    return recorded


def _check(batch: ExportBatch, request_id: UUID) -> None:
    if batch.request_id != str(request_id):
        raise ExportError(f"it is that of batch {batch.request_id}")
    if not batch.is_frozen:
        raise batch_not_sealed(str(request_id), batch.status)
    try:
        storable(batch.source_name)
    except ValueError as error:
        raise ExportError(f"the name of its sheet cannot be stored: {error}") from error


def _store(dependencies: Dependencies, batch: ExportBatch, written: _Written) -> dict[str, str]:
    """Write the objects that do not exist yet; return their names by file name."""
    names = {name: f"reports/{batch.request_id}/{batch.generation}/{name}" for name in written.files}
    for name, content in written.files.items():
        content_type = CONTENT_TYPES[name]
        if name in CSV_FILES:
            content_type = content_type.replace("utf-8", batch.writing.encoding)
        dependencies.objects.create(
            names[name],
            content,
            size_bytes=_size(content),
            content_type=content_type,
            metadata=_metadata(batch.writing),
        )
        reach(Failpoint.REPORT_OBJECT_STORED)
    return names


def _metadata(writing: Writing) -> dict[str, str]:
    """Return what a download has to know of how a file was written."""
    return {"codec": writing.codec, "delimiter": writing.delimiter, "mark": str(writing.bom)}


def _write_files(batch: ExportBatch, rows: Iterator[ExportRow], spools: ExitStack) -> _Written:
    files: dict[str, IO[bytes]] = {}

    def new_file(name: str) -> IO[bytes]:
        files[name] = spools.enter_context(tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))  # noqa: SIM115 - the stack closes it
        return files[name]

    texts = []
    page = ReportPage(batch)
    writers: list[_Writer | OutputWorkbook | ReportPage] = [page]
    for name, make in _WRITERS.items():
        # What is made here may have letters that the sheet's encoding lacks; what came in has none.
        own = name != RESULTS_JSONL and batch.writing.codec != "utf-8"
        codec = batch.writing.codec if own else "utf-8"
        text = io.TextIOWrapper(new_file(name), encoding=codec, errors="replace" if own else "strict", newline="")
        texts.append(text)
        writers.append(make(text, batch))
    workbook = OutputWorkbook(batch) if batch.came_as_workbook else None
    if workbook is not None:
        spools.callback(workbook.close)
        writers.append(workbook)
    row_count = image_count = 0
    try:
        for row in rows:
            for writer in writers:
                writer.write(row)
            row_count += 1
            image_count += len(row.images)
    except UnicodeEncodeError as error:
        raise ExportError(f"row {row.row_number} holds half a surrogate pair") from error
    finally:
        # Detached, because closing the text would close the file that is uploaded next.
        for wrapper in texts:
            wrapper.detach()
    page.save(new_file(REPORT_HTML))
    left_out = None if workbook is None else workbook.left_out
    if workbook is not None and left_out is None:
        workbook.save(new_file(OUTPUT_XLSX))
    return _Written(files, row_count, image_count, left_out)


def _size(content: IO[bytes]) -> int:
    content.seek(0, io.SEEK_END)
    return content.tell()
