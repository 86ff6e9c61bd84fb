"""Supervises a batch without a workflow: the sweeper's way when executions cannot be had.

It does what `batch.yaml` does, with the same claims, task names and calls, so both may work on one batch at once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated
from uuid import UUID

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.limited import Limited
from chassis.logs import get_logger
from ingest.batches.import_chunks import ChunkedImport
from ingest.dependencies import Dependencies
from ingest.dispatch.claim import claim_page, undo_claim
from ingest.dispatch.tasks import ImageTask, create_task
from ingest.errors import ApiError
from ingest.failpoints import Failpoint
from ingest.state.batch import Batch, BatchStatus, load_batch
from ingest.supervision.finish import finish_batch

log = get_logger(__name__)

MAX_PAGES: Annotated[
    int,
    Limited(
        "pages",
        "nothing; the next sweep goes on",
        "Pages that a sweep claims for one batch",
        name="max_sweep_pages",
        internal=True,
    ),
] = 5
"""Pages claimed for one batch in one sweep: enough work for a minute, little enough to end in time."""

IMPORT_BUDGET_S = 20.0
"""Seconds after which a sweep stores no further chunk of one sheet."""

_PAGE_ROWS = 100
_UNDO_DELAY_S = 30.0
_CREATORS = 8  # tasks created at the same time; each is one short call


def supervise(dependencies: Dependencies, request_id: UUID) -> None:
    """Do for a batch what can be done now: dispatch what is due, or report and finish it.

    Raises:
        ApiError: the first trouble met; what was done before it stays done.
    """
    batch = transact(dependencies.engine, lambda connection: load_batch(connection, request_id))
    if batch.status is BatchStatus.IMPORTING:
        work = ChunkedImport(
            dependencies.engine,
            dependencies.settings,
            dependencies.storage,
            dependencies.clock,
            budget_s=IMPORT_BUDGET_S,
        )
        batch = work.go_on(request_id, execution=None)
    if batch.status in {BatchStatus.PENDING, BatchStatus.PROCESSING}:
        batch = dispatch(dependencies, request_id)
    if batch.status is BatchStatus.SEALING:
        report = dependencies.reporter.publish(request_id)
        reach(Failpoint.SWEEP_PUBLISHED)
        finish_batch(
            dependencies.engine, dependencies.settings, request_id, execution=None, report_uri=report.report_uri
        )


def dispatch(dependencies: Dependencies, request_id: UUID) -> Batch:
    """Claim due images and create their tasks; return the batch as the last claim saw it.

    Raises:
        ApiError: 503 TASKS_UNAVAILABLE; images without a task are given back.
    """
    created = 0
    for _page in range(MAX_PAGES):
        page = claim_page(dependencies.engine, dependencies.settings, request_id, execution=None, max_rows=_PAGE_ROWS)
        with ThreadPoolExecutor(max_workers=_CREATORS) as pool:
            refusals = list(pool.map(partial(_try_create, dependencies), page.tasks))
        refused = [(task, error) for task, error in zip(page.tasks, refusals, strict=True) if error is not None]
        for task, _error in refused:
            undo_claim(dependencies.engine, task, delay_s=_UNDO_DELAY_S)
        if refused:
            raise refused[0][1]
        created += len(page.images)
        if page.next_claim_s > 0:
            break
    if created:
        log.info("batch.dispatched", request_id=str(request_id), images=created)
    return page.batch


def _try_create(dependencies: Dependencies, task: ImageTask) -> ApiError | None:
    try:
        create_task(dependencies.tasks, dependencies.settings, task)
    except ApiError as error:
        return error
    reach(Failpoint.SWEEP_TASK_CREATED)
    return None
