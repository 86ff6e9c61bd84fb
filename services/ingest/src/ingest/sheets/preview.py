"""The first rows of a sheet as they were understood: each link by itself, with what is wrong beside it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from ingest.sheets.intake import PREVIEW_ROWS
from ingest.sheets.model import SeenTable, Sheet, SheetRow

_SHOWN_CELL_CHARS = 300
"""A longer cell is cut: a preview shows what stands where, and is no copy of the sheet."""


def preview_of(sheet: Sheet) -> dict[str, Any]:
    """Return titles and first rows of a sheet, as `PreviewAnswer` describes them."""
    rows = [_row(row, sheet.header) for row in islice(sheet.rows, PREVIEW_ROWS)]
    return {"titles": _shown(sheet.header), "rows": rows}


def preview_of_seen(seen: SeenTable | None) -> dict[str, Any]:
    """Return the same of a sheet that cannot be worked on: its cells alone; nothing when there is no table."""
    if seen is None:
        return {"titles": [], "rows": []}
    rows = [
        {
            "row": number,
            "serial_number": "",
            "product_name": "",
            "cells": _shown(cells),
            "links": [],
            "problems": [],
            "warnings": [],
        }
        for number, cells in seen.rows
    ]
    return {"titles": _shown(seen.header), "rows": rows}


def _row(row: SheetRow, header: Sequence[str]) -> dict[str, Any]:
    return {
        "row": row.number,
        "serial_number": row.serial,
        "product_name": row.name,
        "cells": _shown(row.cells),
        "links": [_link(row, slot, url, header) for slot, url in enumerate(row.urls)],
        "problems": [problem.to_json() for problem in (*row.problems, *row.faults.values())],
        "warnings": [warning.to_json() for warning in row.warnings],
    }


def _link(row: SheetRow, slot: int, url: str, header: Sequence[str]) -> dict[str, Any]:
    index = row.url_columns[slot] if slot < len(row.url_columns) else None
    fault = row.faults.get(slot)
    return {
        "slot": slot,
        "url": url,
        "column": header[index] if index is not None and index < len(header) else None,
        "code": None if fault is None else fault.code.value,
    }


def _shown(cells: Sequence[str]) -> list[str]:
    return [
        (cell if len(cell) <= _SHOWN_CELL_CHARS else cell[:_SHOWN_CELL_CHARS] + "…").replace("\x00", "\\0")
        for cell in cells
    ]
