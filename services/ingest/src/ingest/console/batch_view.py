"""What the pages say of a batch: savings, progress in parts, and the steps of its life. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.batches.rate import progress_percent, rate_of
from ingest.console.formats import share
from ingest.state.batch import Batch, BatchStatus

TONES = {
    "PENDING": "",
    "PROCESSING": "busy",
    "COMPLETED": "good",
    "COMPLETED_WITH_ERRORS": "warn",
    "FAILED": "bad",
    "CANCELLED": "",
    "DISPATCHED": "busy",
    "SUCCEEDED": "good",
    "DELIVERED": "good",
    "OPEN": "bad",
    "HALF_OPEN": "warn",
    "WAITING": "warn",
    "CLOSED": "good",
}
"""Which colour a state has; the word always stands beside it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a batch's life: `state` is done, stop (it ended badly) or empty (still to come)."""

    title: str
    at: datetime | None
    state: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch as pages show it, at a time `now`."""

    batch: Batch
    now: datetime

    @property
    def id(self) -> str:
        """Return the id as text."""
        return str(self.batch.request_id)

    @property
    def status(self) -> str:
        """Return the public status."""
        return self.batch.status.public

    @property
    def is_final(self) -> bool:
        """Return whether nothing changes any more by itself."""
        return self.batch.status.is_final

    @property
    def may_cancel(self) -> bool:
        """Return whether images are open that a cancel would end."""
        open_states = {BatchStatus.PENDING, BatchStatus.PROCESSING}
        return self.batch.status in open_states and not self.batch.cancel_requested

    @property
    def may_retry(self) -> bool:
        """Return whether a retry would do something."""
        return self.is_final and (self.batch.failed > 0 or self.batch.error is not None)

    @property
    def saved_bytes(self) -> int:
        """Return how much smaller the outputs are; negative when they are larger."""
        return self.batch.bytes_in - self.batch.bytes_out

    @property
    def saved_percent(self) -> float:
        """Return the saving as percent of the sources."""
        return share(self.saved_bytes, self.batch.bytes_in)

    @property
    def percent(self) -> float:
        """Return the progress."""
        return progress_percent(self.batch)

    @property
    def ok_width(self) -> float:
        """Return the part of a progress bar for images that succeeded, in percent."""
        return round(share(self.batch.succeeded, self.batch.total), 2)

    @property
    def failed_width(self) -> float:
        """Return the same for those that failed."""
        return round(share(self.batch.failed, self.batch.total), 2)

    @property
    def unfinished(self) -> str:
        """Return what those without an output are called; a cancel ends images that did not fail."""
        return "not done" if self.batch.status is BatchStatus.CANCELLED else "failed"

    @property
    def rate(self) -> dict[str, Any]:
        """Return `images_per_s` and `eta_seconds`."""
        return rate_of(self.batch, self.now)

    @property
    def expected_s(self) -> int | None:
        """Return the seconds that the batch would take when it was read; None where unknown, and once it has ended."""
        told = self.batch.estimate
        return None if told is None or self.is_final or self.batch.generation > 1 else int(told["seconds"])

    @property
    def elapsed_s(self) -> float | None:
        """Return how long the batch has run, or ran; None before its start."""
        if self.batch.started_at is None:
            return None
        return ((self.batch.finished_at or self.now) - self.batch.started_at).total_seconds()

    @property
    def age_s(self) -> float:
        """Return the seconds since the upload."""
        return (self.now - self.batch.created_at).total_seconds()

    @property
    def steps(self) -> list[Step]:
        """Return the timeline."""
        batch = self.batch
        ended = batch.status in {BatchStatus.FAILED, BatchStatus.CANCELLED}
        last = {
            BatchStatus.COMPLETED: "Finished",
            BatchStatus.COMPLETED_WITH_ERRORS: "Finished with errors",
            BatchStatus.FAILED: "Failed",
            BatchStatus.CANCELLED: "Cancelled",
        }.get(batch.status, "Report and webhook")
        first = "Uploaded" if batch.generation == 1 else f"Uploaded, run {batch.generation}"
        return [
            Step(first, batch.created_at, "done"),
            Step("Started", batch.started_at, "done" if batch.started_at else ""),
            Step("Images ended", batch.sealed_at, "done" if batch.sealed_at else ""),
            Step(last, batch.finished_at, "stop" if ended else "done" if batch.finished_at else ""),
        ]
