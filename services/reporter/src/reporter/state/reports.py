"""The table `reports`: one row for each published report. A row is inserted and deleted, never changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from chassis.auth.callers import SYSTEM, Caller


@dataclass(frozen=True, slots=True)
class Report:
    """A published report: its objects exist, have these names, and never change.

    `generation` counts how often the batch was run (a retry of its failed images is a new generation).
    `output_xlsx` is None unless the sheet came as a workbook; `xlsx_left_out` says why such a one has none.
    `report_html` is None in reports of the releases before.
    """

    request_id: UUID
    generation: int
    owner: str | None
    source_name: str
    output_csv: str
    failed_csv: str
    results_jsonl: str
    row_count: int
    image_count: int
    output_xlsx: str | None = None
    xlsx_left_out: str | None = None
    report_html: str | None = None


_COLUMNS = (
    "request_id, generation, owner, source_name, output_csv, failed_csv, results_jsonl, row_count, image_count,"
    " output_xlsx, xlsx_left_out, report_html"
)
_FIND = text(
    f"""
    SELECT {_COLUMNS} FROM reports
    WHERE request_id = :request_id AND (CAST(:generation AS integer) IS NULL OR generation = :generation)
      AND (:sees_all OR owner IS NOT DISTINCT FROM CAST(:owner AS text))
    ORDER BY generation DESC LIMIT 1
    """
)
# Two statements, because no index serves IS NOT DISTINCT FROM. The owner in ORDER BY lets the index give the order
# also for rows without one.
_LATEST = f"SELECT {_COLUMNS} FROM reports WHERE {{owned}} ORDER BY owner DESC, create_time DESC LIMIT 1"
_LATEST_OF_OWNER = text(_LATEST.format(owned="owner = :owner"))
_LATEST_OF_NOBODY = text(_LATEST.format(owned="owner IS NULL"))
_ADD = text(
    """
    INSERT INTO reports (request_id, generation, owner, source_name, output_csv, failed_csv, results_jsonl, row_count,
                         image_count, output_xlsx, xlsx_left_out, report_html, create_time)
    VALUES (:request_id, :generation, :owner, :source_name, :output_csv, :failed_csv, :results_jsonl, :row_count,
            :image_count, :output_xlsx, :xlsx_left_out, :report_html, now())
    ON CONFLICT (request_id, generation) DO NOTHING
    """
)


def find_report(
    connection: Connection, request_id: UUID, *, generation: int | None = None, seen_by: Caller = SYSTEM
) -> Report | None:
    """Return the report of a generation, or of the newest one; None also when the caller may not see it."""
    values = {
        "request_id": request_id,
        "generation": generation,
        "sees_all": seen_by.sees_all,
        "owner": seen_by.owner,
    }
    return _report(connection.execute(_FIND, values).mappings().first())


def latest_report(connection: Connection, *, owner: str | None) -> Report | None:
    """Return the newest report of an owner; None as owner means batches that nobody owns."""
    statement = _LATEST_OF_NOBODY if owner is None else _LATEST_OF_OWNER
    return _report(connection.execute(statement, {} if owner is None else {"owner": owner}).mappings().first())


def record_report(connection: Connection, report: Report) -> Report:
    """Insert the report if its generation has none, and return the one that is there.

    nothing → published; takes no lock but that of the new row.
    """
    connection.execute(_ADD, asdict(report))
    return find_report(connection, report.request_id, generation=report.generation) or report


def _report(row: RowMapping | None) -> Report | None:
    return None if row is None else Report(**row)
