"""How many images of a batch may have tasks: its fair share of the compressors' work, by what its images cost.

Tasks wait in the queue `images` in the order of their times, so whoever has much work in there makes everybody wait.
Counted is work: seconds in the codec, of which a picture of 45 megapixels takes thirty times as many as a photo. The
shares are those of owners, and within an owner those of its batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection, text

from ingest.dispatch.pace import CLAIM_EVERY_S
from ingest.settings import IngestSettings
from ingest.state.batch_status import measure_batch
from ingest.state.images import USUAL_COST_S

WINDOW_S = 8.0
"""Seconds of a batch's work that may have tasks: planned ahead, under way, and some room to become faster."""

LARGE_SHARE_WINDOW_S = 4.0
"""The same of a batch that does more than its share while others are at work, so that the others come to theirs."""

COSTLY_WINDOW_S = 2.0
"""The same of a batch whose images cost much: compressors set its pace, not its hosts; little is planned ahead."""

COSTLY_S = 4 * USUAL_COST_S
"""Seconds in the codec above which an image costs much."""

FIRST_WORK_S = 100 * USUAL_COST_S
"""Seconds of work that a batch may have tasks for, however slow it is: a hundred usual images, or 500 reused ones."""

ALL_FIRST_WINDOWS = 1_000
"""Usual images that may have tasks beside what is done in `WINDOW_S`: of all batches together."""

REUSED_COST_S = 0.01
"""Seconds that stand for an image that need not be compressed again: compressors ask its origin, and that is all."""

COSTED = 3
"""Images that must have told what they took before the others are expected to take as much."""

_LEAST_IMAGES = 10  # of a small batch, that is all: another window would wait as long again
_MORE_THAN_SHARE = 1.25
_MEASURED_FOR_S = 15.0

_AT_WORK = text(
    """
    SELECT greatest(1, count(*) FILTER (WHERE coalesce(owner, '') = own.name)) AS own_batches,
           greatest(1, count(DISTINCT coalesce(owner, ''))) AS owners,
           coalesce(sum(images_per_s * CASE WHEN costed < :costed THEN :usual_s ELSE image_cost_s END) FILTER (
               WHERE measured_at > now() - make_interval(secs => :measured_for_s)), 0) AS work_per_s
    FROM batches, (SELECT coalesce(owner, '') AS name FROM batches WHERE request_id = :batch) AS own
    WHERE finished_at IS NULL AND status = 'PROCESSING'
    """
)
_LEASED = text(
    """
    SELECT count(*) FROM (
        SELECT 1 FROM images WHERE batch = :batch AND status = 'DISPATCHED' LIMIT :limit) AS leased
    """
)


@dataclass(frozen=True, slots=True)
class Work:
    """What a batch does, and how many share the compressors.

    Args:
        images_per_s: that ended lately.
        cost_s: seconds that one of them takes in the codec; None while too few have told.
        owners: with a batch at work.
        own_batches: of the batch's owner that are at work.
        all_work_per_s: seconds of work that are done in a second, of all batches.
    """

    images_per_s: float = 0.0
    cost_s: float | None = None
    owners: int = 1
    own_batches: int = 1
    all_work_per_s: float = 0.0

    @property
    def share(self) -> float:
        """Return the batch's part of all work, above 0 and at most 1."""
        return 1 / (self.owners * self.own_batches)


def window_images(work: Work, *, first_images: int, ahead_s: float = 0.0) -> int:
    """Return how many images of a batch may have tasks at once.

    So many as cost no more than `FIRST_WORK_S`, or less where many batches are at work; more if the batch gets more
    done, namely what it does in `WINDOW_S` and in the time that one image takes.

    Args:
        work: of the batch.
        first_images: as many, as long as nobody knows what one costs.
        ahead_s: further seconds for which tasks are made: the sweeper's, who comes once a minute.
    """
    usual = max(_LEAST_IMAGES, min(round(FIRST_WORK_S / USUAL_COST_S), math.floor(ALL_FIRST_WINDOWS * work.share)))
    if work.cost_s is None:
        first, cost_s = min(usual, first_images), USUAL_COST_S
    else:
        first, cost_s = max(1, math.floor(usual * USUAL_COST_S / max(work.cost_s, REUSED_COST_S))), work.cost_s
    more_s = window_s(work) + cost_s + ahead_s
    return max(first if ahead_s == 0 else 10 * first, math.ceil(work.images_per_s * more_s))


def window_s(work: Work) -> float:
    """Return for how many seconds of its work a batch may have tasks, beside what it may have however slow it is."""
    cost_s = USUAL_COST_S if work.cost_s is None else work.cost_s
    if cost_s > COSTLY_S:
        return COSTLY_WINDOW_S
    if work.images_per_s * cost_s > _MORE_THAN_SHARE * work.share * work.all_work_per_s:
        return LARGE_SHARE_WINDOW_S
    return WINDOW_S


@dataclass(frozen=True, slots=True)
class WindowLeft:
    """How many more images of a batch may be dispatched now, and how many of those may be of unknown cost.

    Once so many are dispatched, more may be in `refill_s`.
    """

    images: int
    unknown: int
    refill_s: float


def window_left(
    connection: Connection, settings: IngestSettings, request_id: UUID, *, ahead_s: float | None
) -> WindowLeft:
    """Return how many more images of a batch may be dispatched now.

    Below a quarter of the window nothing is handed out, so that a busy batch is refilled in few large pages. As long as
    nobody knows what an image of the batch costs, known images are taken for reused ones, and
    of all others `first_in_flight` are handed out. The sweeper's windows are larger (`ahead_s` is not None): nobody
    claims between two sweeps.
    """
    measured = measure_batch(connection, request_id)
    values = {"batch": request_id, "measured_for_s": _MEASURED_FOR_S, "costed": COSTED, "usual_s": USUAL_COST_S}
    others = connection.execute(_AT_WORK, values).mappings().one()
    work = Work(
        images_per_s=measured.images_per_s,
        cost_s=measured.image_cost_s if measured.costed >= COSTED else None,
        owners=others["owners"],
        own_batches=others["own_batches"],
        all_work_per_s=others["work_per_s"],
    )
    leased = int(connection.execute(_LEASED, {"batch": request_id, "limit": settings.max_in_flight}).scalar_one())

    def left(work: Work) -> tuple[int, int]:
        window = window_images(work, first_images=settings.first_in_flight, ahead_s=ahead_s or 0.0)
        window = min(settings.max_in_flight, window)
        more, quarter = window - leased, math.ceil(window / 4)
        return (more, quarter) if leased == 0 or more >= quarter else (0, quarter - more)

    unknown, missing = left(work)
    known = unknown
    if work.cost_s is None:
        known = max(unknown, left(replace(work, cost_s=REUSED_COST_S))[0])
    # As long as they take to end at the pace of late. Of a batch that its hosts held up that says little: it may have
    # all of a small window done soon, so it waits no longer than a batch at its pace does for a quarter of its own.
    refill_s = CLAIM_EVERY_S if work.images_per_s == 0 else min(window_s(work) / 4, missing / work.images_per_s)
    return WindowLeft(known, unknown, refill_s)
