"""Finds a report for a caller, and opens a file of it for whoever holds a link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from chassis.auth.callers import Caller
from chassis.db.engine import transact
from reporter.dependencies import Dependencies
from reporter.errors import link_invalid, report_has_no_workbook, report_not_found
from reporter.reports.escaping import escaped_csv
from reporter.reports.links import (
    CONTENT_TYPES,
    CSV_FILES,
    FAILED_CSV,
    OUTPUT_CSV,
    OUTPUT_XLSX,
    REPORT_HTML,
    RESULTS_JSONL,
    check_link,
    saved_name,
)
from reporter.reports.sheet import BOM
from reporter.state.reports import Report, find_report, latest_report

_BOM_BYTES = len(BOM.encode())


@dataclass(frozen=True, slots=True)
class Asked:
    """What a download asks for: the token, the generation it expects, and how a CSV file is to be written."""

    token: str
    generation: int | None
    with_bom: bool
    excel_safe: bool


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that can be read piece by piece; `size_bytes` is None when it is not known before the last piece."""

    pieces: Iterator[bytes]
    content_type: str
    saved_name: str
    size_bytes: int | None


def report_for(dependencies: Dependencies, caller: Caller, request_id: UUID | None) -> Report:
    """Return the report of a batch, or the latest of the caller's owner.

    Raises:
        ApiError: 404 REPORT_NOT_FOUND.
    """
    report = transact(
        dependencies.engine,
        lambda c: (
            latest_report(c, owner=caller.owner) if request_id is None else find_report(c, request_id, seen_by=caller)
        ),
    )
    if report is None:
        raise report_not_found(None if request_id is None else str(request_id))
    return report


def open_file(dependencies: Dependencies, request_id: UUID, file_name: str, asked: Asked) -> OpenedFile:
    """Open a file of the report that a token belongs to.

    Raises:
        ApiError: 403 DOWNLOAD_LINK_EXPIRED or DOWNLOAD_LINK_INVALID, 404 REPORT_NOT_FOUND or REPORT_HAS_NO_WORKBOOK,
            503 STORAGE_UNAVAILABLE.
    """
    if not asked.token:
        raise link_invalid()
    generation = check_link(dependencies.settings, dependencies.clock, asked.token, request_id, asked.generation)
    report = transact(dependencies.engine, lambda c: find_report(c, request_id, generation=generation))
    if report is None or file_name not in CONTENT_TYPES:
        raise report_not_found(str(request_id))
    found = dependencies.objects.open(_object_name(report, file_name))
    if found is None:
        raise report_not_found(str(request_id))
    is_csv = file_name in CSV_FILES
    escaped = asked.excel_safe and is_csv
    # Files of the releases before have no metadata: they are UTF-8 with a mark, and have commas.
    codec = found.metadata.get("codec", "utf-8")
    marked = is_csv and codec == "utf-8" and found.metadata.get("mark", "True") == "True"
    skipped = _BOM_BYTES if marked and (escaped or not asked.with_bom) else 0
    pieces = found.pieces_from(skipped)
    if escaped:
        mark = BOM if asked.with_bom and marked else ""
        pieces = escaped_csv(pieces, bom=mark, codec=codec, delimiter=found.metadata.get("delimiter", ","))
    return OpenedFile(
        pieces=pieces,
        content_type=found.content_type if is_csv and not marked else CONTENT_TYPES[file_name],
        saved_name=saved_name(report.source_name, file_name),
        size_bytes=None if escaped else found.size_bytes - skipped,
    )


def _object_name(report: Report, file_name: str) -> str:
    names = {
        OUTPUT_CSV: report.output_csv,
        FAILED_CSV: report.failed_csv,
        RESULTS_JSONL: report.results_jsonl,
        REPORT_HTML: report.report_html,
        OUTPUT_XLSX: report.output_xlsx,
    }
    name = names[file_name]
    if name is None and file_name == OUTPUT_XLSX:
        raise report_has_no_workbook(str(report.request_id), report.xlsx_left_out)
    if name is None:
        raise report_not_found(str(report.request_id))
    return name
