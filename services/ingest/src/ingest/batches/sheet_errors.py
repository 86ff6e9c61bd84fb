"""Between settings, sheets and errors: the limits of a sheet, and its problems as an answer."""

from __future__ import annotations

from ingest.errors import ApiError, Reason, Status
from ingest.settings import IngestSettings
from ingest.sheets.model import SheetError, SheetLimits

PROBLEMS_TYPE = "type.googleapis.com/pressroom.ingest.SheetProblems"
"""The `@type` of the error detail that lists a sheet's problems."""


def stored_limits_from(settings: IngestSettings) -> SheetLimits:
    """Return the limits of a sheet in Cloud Storage."""
    return SheetLimits(
        max_bytes=settings.max_stored_sheet_bytes,
        max_rows=settings.max_stored_rows,
        max_images=settings.max_stored_images,
        max_urls_per_cell=settings.max_urls_per_cell,
        max_columns=settings.max_columns,
    )


def limits_from(settings: IngestSettings) -> SheetLimits:
    """Return the limits of a sheet that is taken in at once."""
    return SheetLimits(
        max_bytes=settings.max_sheet_bytes,
        max_rows=settings.max_rows,
        max_images=settings.max_images,
        max_urls_per_cell=settings.max_urls_per_cell,
        max_columns=settings.max_columns,
    )


def sheet_invalid(error: SheetError) -> ApiError:
    """Return the 400 that lists the problems of a sheet."""
    problems = error.problems
    first = problems.listed[0]
    where = "" if first.row is None else f"Row {first.row}: "
    others = problems.count - 1
    more = f" (and {others} more problem{'s' if others > 1 else ''})" if others else ""
    return ApiError(
        Status.INVALID_ARGUMENT,
        Reason.SHEET_INVALID,
        f"{where}{first.message}{more}",
        metadata={"problem_count": str(problems.count), "first_code": first.code.value},
        extra_details=[{"@type": PROBLEMS_TYPE, **problems.to_json()}],
    )
