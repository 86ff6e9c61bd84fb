"""The rows of published reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from chassis.auth.callers import SYSTEM, Caller
from reporter.reports.links import FAILED_CSV, OUTPUT_CSV, RESULTS_JSONL
from reporter.state.tables import reports


@dataclass(frozen=True, slots=True)
class Report:
    """A published report: its objects exist and never change.

    `generation` counts how often the batch was run (a retry of its failed images is a new generation).
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
    create_time: datetime

    def object_name(self, file_name: str) -> str:
        """Return the object behind one of the three public file names.

        Raises:
            KeyError: there is no such file.
        """
        return {OUTPUT_CSV: self.output_csv, FAILED_CSV: self.failed_csv, RESULTS_JSONL: self.results_jsonl}[file_name]


def find_report(
    connection: Connection, request_id: UUID, *, generation: int | None = None, seen_by: Caller = SYSTEM
) -> Report | None:
    """Return the report of a generation, or of the newest one; None also when the caller may not see it."""
    query = sa.select(reports).where(reports.c.request_id == request_id).order_by(reports.c.generation.desc()).limit(1)
    if generation is not None:
        query = query.where(reports.c.generation == generation)
    if not seen_by.sees_all:
        query = query.where(reports.c.owner.is_not_distinct_from(seen_by.owner))
    return _report(connection.execute(query).mappings().one_or_none())


def latest_report(connection: Connection, *, owner: str | None) -> Report | None:
    """Return the newest report of an owner; None as owner means batches that nobody owns."""
    query = (
        sa.select(reports)
        .where(reports.c.owner.is_not_distinct_from(owner))
        .order_by(reports.c.create_time.desc(), reports.c.request_id)
        .limit(1)
    )
    return _report(connection.execute(query).mappings().one_or_none())


def record_report(connection: Connection, report: Report) -> Report:
    """Insert the report if its generation has none; return the one that stands."""
    values = {column.name: getattr(report, column.name) for column in reports.columns}
    connection.execute(insert(reports).values(values).on_conflict_do_nothing())
    return find_report(connection, report.request_id, generation=report.generation) or report


def _report(row: Any) -> Report | None:
    return None if row is None else Report(**row)
