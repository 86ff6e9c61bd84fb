"""Publishes the report of a batch: the sealed rows stream into the objects, then a row is written that names them.

May be called any number of times, also at once: object names are made of ids, objects are create-only with content
made of rows that cannot change any more, and the first row wins. No object exists before the export was read to its end
and found whole, so whoever comes after a death on the way begins anew and has nothing to remove.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TextIO
from uuid import UUID

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.http.fields import storable
from chassis.logs import get_logger
from reporter.clients.bucket import ReportObjects
from reporter.clients.object_file import PIECE_BYTES, ObjectFile
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

_Writer = OutputSheet | FailedSheet | ResultLines

_WRITERS: dict[str, Callable[[TextIO, ExportBatch], _Writer]] = {
    OUTPUT_CSV: OutputSheet,
    FAILED_CSV: FailedSheet,
    RESULTS_JSONL: ResultLines,
}


@dataclass(frozen=True, slots=True)
class _Written:
    """The files, each with all of its content and not an object yet, and what went into them.

    `xlsx_left_out` says why a workbook has no output.xlsx.
    """

    files: Mapping[str, ObjectFile]
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
    with ExitStack() as unfinished:
        try:
            path = f"/internal/batches/{request_id}/export"
            with dependencies.ingest.stream_lines(path, timeout_s=EXPORT_TIMEOUT_S) as lines:
                batch, rows = read_export(lines)
                _check(batch, request_id)
                known = transact(dependencies.engine, lambda c: find_report(c, request_id, generation=batch.generation))
                if known is not None:
                    return known
                written = write_files(dependencies.objects, batch, rows, unfinished)
        except ExportError as error:
            log.warning("export.refused", request_id=str(request_id), fault=str(error))
            raise export_incomplete(str(request_id), str(error)) from error
        reach(Failpoint.REPORT_WRITTEN)
        for file in written.files.values():
            file.finish()
            reach(Failpoint.REPORT_OBJECT_STORED)
    names = {name: file.name for name, file in written.files.items()}
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


def _metadata(writing: Writing) -> dict[str, str]:
    """Return what a download has to know of how a file was written."""
    return {"codec": writing.codec, "delimiter": writing.delimiter, "mark": str(writing.bom)}


def write_files(
    objects: ReportObjects, batch: ExportBatch, rows: Iterator[ExportRow], unfinished: ExitStack
) -> _Written:
    """Write the files while the rows come; `unfinished` gets what has to be done when they are not all finished."""
    files: dict[str, ObjectFile] = {}

    def new_file(name: str) -> ObjectFile:
        content_type = CONTENT_TYPES[name]
        if name in CSV_FILES:
            content_type = content_type.replace("utf-8", batch.writing.encoding)
        files[name] = objects.begin(
            f"reports/{batch.request_id}/{batch.generation}/{name}",
            content_type=content_type,
            metadata=_metadata(batch.writing),
            on_piece=lambda: reach(Failpoint.REPORT_PIECE_STORED),
        )
        unfinished.callback(files[name].abandon)
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
        unfinished.callback(workbook.close)
        writers.append(workbook)
    row_count = image_count = 0
    try:
        for row in rows:
            for writer in writers:
                writer.write(row)
            row_count += 1
            image_count += len(row.images)
        for text in texts:
            text.flush()
    except UnicodeEncodeError as error:
        raise ExportError(f"row {row.row_number} holds half a surrogate pair") from error
    page.save(new_file(REPORT_HTML))
    left_out = None if workbook is None else workbook.left_out
    if workbook is not None and left_out is None:
        # A ZIP file is not written from its beginning to its end; the limits of workbooks bound it.
        with tempfile.SpooledTemporaryFile(max_size=PIECE_BYTES) as spool:
            workbook.save(spool)
            spool.seek(0)
            shutil.copyfileobj(spool, new_file(OUTPUT_XLSX))
    return _Written(files, row_count, image_count, left_out)
