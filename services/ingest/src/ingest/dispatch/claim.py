"""Hands out work: a page of rows with their due images, leased, with attempt numbers that only rise.

How many images a batch may have under way is decided in `window`, how many each host may get in `host_starts`, when to
claim again in `next_claim`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping

from chassis.db.engine import transact
from chassis.limited import Limited
from chassis.tracing import is_drawn, is_sampled
from ingest.dispatch.host_starts import Started, assign_starts, plan_hosts, ready_hosts, start_images
from ingest.dispatch.next_claim import next_claim_s
from ingest.dispatch.tasks import TRACED_IMAGES, ClaimedImage, ImageTask, TaskList, claimed_image, page_bytes
from ingest.dispatch.window import WindowLeft, window_left
from ingest.errors import not_owner
from ingest.events.payload import add_started_event
from ingest.settings import IngestSettings
from ingest.state.batch import Batch, BatchStatus
from ingest.state.batch_status import begin_batch
from ingest.state.due_images import find_due
from ingest.state.expiry import end_overdue, end_unreachable
from ingest.state.hosts import add_missing_hosts
from ingest.state.images import return_image
from ingest.state.known_sources import find_sources
from ingest.state.locks import lock_batch

MAX_PAGE_BYTES: Annotated[
    int,
    Limited(
        "bytes",
        "the next claim has the rest",
        "A page of claimed images, for the memory of an execution",
        internal=True,
    ),
] = 96 * 1024
"""Most JSON of one page: an execution of Cloud Workflows has 512 KB for all its variables."""

SWEEP_AHEAD_S = 60.0
"""Seconds for which the sweeper plans: it comes once a minute."""

_ENVELOPE_BYTES = 1024
_CANDIDATES = 150  # more than fit into a page: the smallest image takes some 800 bytes


@dataclass(frozen=True, slots=True)
class ClaimedPage:
    """What a claim brought, in how many seconds the next one may bring more, and whether it ended the last image."""

    batch: Batch
    tasks: Sequence[ImageTask]
    next_claim_s: float
    sealed: bool

    @property
    def images(self) -> list[ClaimedImage]:
        """Return what the tasks carry."""
        return [image for task in self.tasks for image in task.images]


def claim_page(
    engine: Engine, settings: IngestSettings, request_id: UUID, *, execution: str | None, max_rows: int
) -> ClaimedPage:
    """End what is overdue, then lease a page of due images.

    Args:
        engine: the database.
        settings: lease, window and budgets.
        request_id: the batch.
        execution: the caller, who must own the batch; None is the sweeper, which needs no ownership because leases
            and attempt numbers fence every claim by themselves.
        max_rows: most rows of the page; it also ends at `MAX_PAGE_BYTES` of JSON.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER.
    """

    def work(connection: Connection) -> ClaimedPage:
        batch = lock_batch(connection, request_id)
        if execution is not None and batch.execution != execution:
            raise not_owner(request_id, execution)
        begun = begin_batch(connection, request_id, alive=execution is not None)
        if begun is not None:
            add_started_event(connection, batch, begun)
            batch = begun
        overdue = end_overdue(connection, batch)
        unreachable = end_unreachable(connection, settings, overdue.batch)
        sealed = overdue.sealed or unreachable.sealed
        batch = unreachable.batch
        if overdue.more:
            # What is overdue is not handed out, also where this claim ended only a page of it.
            return ClaimedPage(batch, (), 0.0, sealed=sealed)
        ahead_s = None if execution is not None else SWEEP_AHEAD_S
        taken = _take(connection, settings, batch, max_rows, ahead_s)
        wait_s = next_claim_s(connection, batch, is_cut=taken.is_cut, refill_s=taken.refill_s)
        return ClaimedPage(batch, taken.tasks, wait_s, sealed=sealed)

    return transact(engine, work)


@dataclass(frozen=True, slots=True)
class _Taken:
    """Tasks of leased images; whether more can be leased now, or in how many seconds when some must end before."""

    tasks: Sequence[ImageTask] = ()
    is_cut: bool = False
    refill_s: float | None = None


def _take(
    connection: Connection, settings: IngestSettings, batch: Batch, max_rows: int, ahead_s: float | None
) -> _Taken:
    if batch.status.is_final or batch.status is BatchStatus.IMPORTING or batch.pending == 0 or batch.cancel_requested:
        return _Taken()
    left = window_left(connection, settings, batch.request_id, ahead_s=ahead_s)
    limit = min(_CANDIDATES, left.images)
    if limit == 0:
        return _Taken(refill_s=left.refill_s)
    add_missing_hosts(connection, batch.request_id)
    hosts = ready_hosts(connection, batch.request_id, ahead_s=ahead_s)
    from_start = not hosts
    if from_start:
        # Nothing is known of an image whose time lies before the others', as after a step of the database's clock.
        hosts = ready_hosts(connection, batch.request_id, ahead_s=ahead_s, from_start=True)
    planned = plan_hosts(connection, settings, batch.request_id, hosts, ahead_s=ahead_s, most=limit)
    starts = {host: len(found.plan.starts) for host, found in planned.items()}
    found = find_due(connection, batch.request_id, starts, limit=limit, from_start=from_start)
    known = find_sources(connection, found, days=settings.reuse_days)
    cheap = _without_unknown(found, known, left)
    share = TRACED_IMAGES / batch.total if is_sampled(batch.request_id) else 0.0

    assigned = [
        (
            each,
            claimed_image(
                each,
                batch.request_id,
                batch.options,
                known.get(each.image["id"]),
                traced=is_drawn(each.image["id"], share),
            ),
        )
        for each in assign_starts(planned, cheap)
    ]
    several = {host: each.task_images for host, each in planned.items()}
    fitting = _fitting(settings, assigned, TaskList(several), max_rows)
    leased = {each.image["id"] for each in start_images(connection, settings, planned, [each for each, _ in fitting])}
    tasks = TaskList(several)
    for each, image in fitting:
        if each.image["id"] in leased:
            tasks.add(image)
    taken = len(leased)
    if taken == left.images or (taken == len(cheap) < len(found)):
        return _Taken(tasks.tasks(), refill_s=left.refill_s)
    return _Taken(tasks.tasks(), is_cut=taken < len(found) or len(found) == limit or len(hosts) > len(planned) > 0)


def _without_unknown(
    found: Sequence[RowMapping], known: Mapping[UUID, Mapping[str, Any]], left: WindowLeft
) -> Sequence[RowMapping]:
    """Return the first images, as long as not too many are among them of which nobody knows what they cost."""
    unknown = 0
    for number, row in enumerate(found):
        unknown += row["id"] not in known
        if unknown > left.unknown:
            return found[:number]
    return found


def _fitting(
    settings: IngestSettings, assigned: Sequence[tuple[Started, ClaimedImage]], tasks: TaskList, max_rows: int
) -> Sequence[tuple[Started, ClaimedImage]]:
    """Return the first images whose tasks and rows fit into a page."""
    rows: set[int] = set()
    size_bytes = _ENVELOPE_BYTES
    for number, (_started, image) in enumerate(assigned):
        size_bytes += page_bytes(settings, image, tasks.add(image))
        rows.add(image.row_number)
        if number > 0 and (size_bytes > MAX_PAGE_BYTES or len(rows) > max_rows):
            return assigned[:number]
    return assigned


def undo_claim(engine: Engine, task: ImageTask, *, delay_s: float) -> None:
    """Give images back whose task could not be created; their numbers stay used, their budgets do not shrink."""
    leases = sorted((UUID(image.payload["image_id"]), image.payload["attempt"]) for image in task.images)

    def work(connection: Connection) -> None:
        for image_id, attempt in leases:
            return_image(connection, image_id, attempt=attempt, delay_s=delay_s, spent=False)

    transact(engine, work)
