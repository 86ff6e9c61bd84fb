"""What can be said about a sheet before anything runs: what was found in it, and a copy with everything put right."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Any

from chassis.limited import Limited
from ingest.options import ImageOptions, smaller_format_advice
from ingest.sheets.header import normalise
from ingest.sheets.model import Sheet, SheetError, SheetRow
from ingest.sheets.preview import preview_of, preview_of_seen

PROBLEMS_TITLE = "Problems"
"""The title of the column that the corrected sheet has more than the sheet."""

MAX_HOSTS: Annotated[
    int, Limited("hosts", "those with most images", "Hosts that a check of a sheet lists; all count")
] = 100
"""Most hosts that are listed, those with the most images first."""

_BOM = "\ufeff"
_CHUNK_CHARS = 64 * 1024


def validation_answer(sheet: Sheet, options: ImageOptions) -> dict[str, Any]:
    """Return what an upload of this sheet would make, as `ValidationAnswer` describes it.

    Counts are of the good rows: what an upload with `on_invalid=skip` would work on.
    """
    facts = sheet.facts
    hosts = [{"host": host, "images": images} for host, images in list(facts.hosts.items())[:MAX_HOSTS]]
    return {
        "valid": sheet.problems.count == 0,
        "total_rows": facts.rows,
        "invalid_rows": facts.invalid_rows,
        "total_images": facts.images,
        "invalid_images": facts.invalid_images,
        "unique_images": facts.unique_images,
        "unique_urls": facts.unique_urls,
        "hosts": hosts,
        "host_count": len(facts.hosts),
        "dialect": sheet.dialect.to_json(),
        "columns": column_titles(sheet),
        "findings": sheet.findings.to_json(),
        "may_be_larger": may_be_larger(sheet),
        "options": options.model_dump(),
        **sheet.problems.to_json(),
        "warnings": [warning.to_json() for warning in sheet.warnings.listed],
        "warning_count": sheet.warnings.count,
        "preview": preview_of(sheet),
    }


def refusal_answer(error: SheetError, options: ImageOptions) -> dict[str, Any]:
    """Return the same of a sheet that cannot be worked on at all: what is not known is None."""
    unknown = (
        "total_rows",
        "invalid_rows",
        "total_images",
        "invalid_images",
        "unique_images",
        "unique_urls",
        "host_count",
        "findings",
        "may_be_larger",
    )
    return {
        "valid": False,
        **dict.fromkeys(unknown),
        "hosts": [],
        "dialect": None if error.seen is None else error.seen.dialect.to_json(),
        "columns": {},
        "options": options.model_dump(),
        **error.problems.to_json(),
        "warnings": [],
        "warning_count": 0,
        "preview": preview_of_seen(error.seen),
    }


def may_be_larger(sheet: Sheet) -> dict[str, Any] | None:
    """Return which images may become larger than their source, as `MayBeLarger` describes it; None for none."""
    endings = sheet.facts.growing
    if not endings:
        return None
    # Only formats with growing endings come here, and they have one advice.
    return {"images": sum(endings.values()), "endings": dict(endings), "advice": smaller_format_advice("jpeg")}


def corrected_csv(sheet: Sheet) -> Iterator[bytes]:
    """Yield the sheet in UTF-8 with commas, repaired, with what is said about each row in a column of its own.

    Cells of the user stay as they are. A column of that title, from an earlier copy, is filled anew.
    """
    yield _BOM.encode()
    place = next((index for index, title in enumerate(sheet.header) if normalise(title) == "problems"), None)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(_with(sheet.header, PROBLEMS_TITLE if place is None else sheet.header[place], place))
    for row in sheet.rows:
        writer.writerow(_with(row.cells, _told(row), place))
        if buffer.tell() >= _CHUNK_CHARS:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def _with(cells: tuple[str, ...], cell: str, place: int | None) -> list[str]:
    if place is None:
        return [*cells, cell]
    return [*cells[:place], cell, *cells[place + 1 :]]


def _told(row: SheetRow) -> str:
    # It begins with a code, so no spreadsheet takes it for a formula.
    return " ".join(
        f"{problem.code.value}: {f'{problem.column}: ' if problem.column else ''}{problem.message}"
        for problem in (*row.problems, *row.faults.values(), *row.warnings)
    )


def column_titles(sheet: Sheet) -> dict[str, list[str]]:
    """Return the titles of the columns by role or option, in the form that the field `columns` takes."""
    columns, header = sheet.columns, sheet.header
    single = {"serial": columns.serial, "name": columns.name, "output": columns.output, "errors": columns.errors}
    found = {role: [index] for role, index in {**single, **columns.options}.items() if index is not None}
    return {role: [header[index] for index in indexes] for role, indexes in {**found, "urls": columns.urls}.items()}
