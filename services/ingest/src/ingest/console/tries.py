"""Tries options on some images of a sheet before anything is stored."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from chassis.auth.callers import Caller
from chassis.errors import ApiError
from ingest.batches.previews import allow_sources, host_is_busy
from ingest.clients.previews import Trial
from ingest.dependencies import Dependencies
from ingest.options import ImageOptions
from ingest.sheets.model import Sheet, SheetRow

TRIED_IMAGES = 5
_SIDE_PX = 480


@dataclass(frozen=True, slots=True)
class Tried:
    """One image of a sheet and what the options make of it, or why they cannot."""

    row: int
    name: str
    url: str
    trial: Trial | None
    problem: str = ""

    @property
    def before(self) -> str:
        """Return the picture before, as a URL of itself."""
        return "" if self.trial is None else _data_url(self.trial.before.webp)

    @property
    def after(self) -> str:
        """Return the picture after."""
        return "" if self.trial is None else _data_url(self.trial.after.webp)


def try_images(dependencies: Dependencies, sheet: Sheet, options: ImageOptions, *, caller: Caller) -> list[Tried]:
    """Return what becomes of five images that stand far from one another in a sheet.

    Raises:
        ApiError: 429 QUOTA_EXCEEDED.
    """
    chosen = list(_spread(sheet))
    allowed = allow_sources(
        dependencies.engine, dependencies.settings, [row.urls[slot] for row, slot in chosen], caller=caller
    )

    def one(asked: tuple[tuple[SheetRow, int], bool]) -> Tried:
        (row, slot), may_ask = asked
        url = row.urls[slot]
        if not may_ask:
            return Tried(row.number, row.name, url, None, host_is_busy(url).message)
        # What a row says for itself counts for it.
        wanted = options.model_copy(update=dict(row.options)).model_dump()
        try:
            return Tried(row.number, row.name, url, dependencies.previews.trial(url, _SIDE_PX, wanted))
        except ApiError as error:
            return Tried(row.number, row.name, url, None, error.message)

    with ThreadPoolExecutor(TRIED_IMAGES) as pool:
        return list(pool.map(one, zip(chosen, allowed, strict=True)))


def _spread(sheet: Sheet) -> Iterator[tuple[SheetRow, int]]:
    """Yield rows with the slot of a link that can be used, one of each part of the sheet."""
    usable = sheet.facts.rows - sheet.facts.invalid_rows
    step = max(1, usable // TRIED_IMAGES)
    good = ((row, slot) for row in sheet.rows if (slot := _slot(row)) is not None)
    yield from islice(good, 0, step * TRIED_IMAGES, step)


def _slot(row: SheetRow) -> int | None:
    return next((slot for slot in range(len(row.urls)) if slot not in row.faults), None)


def _data_url(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
