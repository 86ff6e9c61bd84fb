"""How far a batch is and how many images it does a second: numbers that never go back, and none that is a guess."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ingest.state.batch import Batch

MIN_ENDED_IMAGES = 20
"""Before so many images have ended, their rate says nothing about the rest."""


def progress_percent(batch: Batch) -> float:
    """Return 0.0 to 100.0 with one digit, rounded down; below 100 as long as the batch is not finished.

    It can only rise until a retry opens images again.
    """
    if batch.status.is_final:
        return 100.0
    ended = batch.succeeded + batch.failed
    return min(99.9, ended * 1000 // batch.total / 10) if batch.total else 0.0


def rate_of(batch: Batch, now: datetime) -> dict[str, Any]:
    """Return `images_per_s` since the start and `eta_seconds` until the last image ends; None where unknown.

    Unknown are both before the start, before 20 images have ended, and for a batch that is tried again, whose images
    that ended before would count as fast ones. Once no image is open the time left is 0.
    """
    unknown: dict[str, Any] = {"images_per_s": None, "eta_seconds": 0 if batch.pending == 0 else None}
    ended = batch.succeeded + batch.failed
    if batch.started_at is None or batch.generation > 1 or ended < MIN_ENDED_IMAGES:
        return unknown
    elapsed_s = ((batch.sealed_at or now) - batch.started_at).total_seconds()
    if elapsed_s <= 0:
        return unknown
    per_s = ended / elapsed_s
    return {"images_per_s": round(per_s, 2), "eta_seconds": round(batch.pending / per_s)}
