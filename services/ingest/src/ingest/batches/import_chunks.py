"""Imports a large sheet piece by piece: first all of it is checked, then its rows are stored in chunks.

Each step reads what the rows say and goes on from there, so it may be killed anywhere and called by two at once. The
workflow calls it until the import is done, the sweeper when there is no workflow. Memory holds a chunk, not the sheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from chassis.clock import Clock
from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.limited import Limited
from chassis.logs import get_logger
from ingest.batches.estimate import deadline_s, estimated
from ingest.batches.quotas import Use, check_quotas
from ingest.batches.sheet_errors import sheet_invalid, stored_limits_from
from ingest.clients.sheet_storage import SheetStorage, StoredSheet
from ingest.errors import ApiError, Reason, not_found, not_owner
from ingest.events.payload import add_accepted_event
from ingest.failpoints import Failpoint
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.body import HeldBody, SheetBody
from ingest.sheets.intake import SheetRequest, SheetRows, Surveyed, open_surveyed, survey_sheet
from ingest.sheets.model import OnInvalid, SheetError, SheetRow
from ingest.state.batch import Batch, BatchStatus, load_batch
from ingest.state.batch_status import note_estimate
from ingest.state.hosts import add_hosts
from ingest.state.imports import (
    Chunk,
    Import,
    complete_import,
    load_import,
    note_checked,
    note_chunk,
    note_survey,
    stop_import,
)
from ingest.state.locks import lock_batch
from ingest.state.sheet_copy import copy_rows

log = get_logger(__name__)

CHUNK_IMAGES: Annotated[
    int,
    Limited(
        "images",
        "the next transaction has the rest",
        "Images, or rows, that one transaction of an import stores",
        name="max_import_chunk_images",
        internal=True,
    ),
] = 5000

MAX_KEPT_PROBLEMS: Annotated[
    int, Limited("problems", "the first ones, and their number", "Problems and warnings of an import that are kept")
] = 100
"""They lie in the row of the batch, which is read often."""

_GONE = frozenset({Reason.SHEET_NOT_FOUND})


class _Stopped(Exception):  # noqa: N818 - no fault
    """The batch is not imported any more: it was cancelled, or somebody else has gone on with it."""


class ChunkedImport:
    """One call's share of an import.

    Args:
        engine: the database.
        settings: limits of a stored sheet, attempts of an image.
        storage: where the sheet lies.
        clock: for the budget.
        budget_s: seconds after which no chunk is begun any more. The check of a sheet is not parted: half a minute for
            a million rows.
    """

    def __init__(
        self, engine: Engine, settings: IngestSettings, storage: SheetStorage, clock: Clock, *, budget_s: float
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._storage = storage
        self._clock = clock
        self._ends_at = clock.monotonic() + budget_s

    def go_on(self, request_id: UUID, *, execution: str | None) -> Batch:
        """Import some more of a batch; it is IMPORTING afterwards as long as there is more to import.

        A sheet that is faulty, or gone, ends the import: the batch will have FAILED with `error`.

        Args:
            request_id: the batch.
            execution: the caller, who must own the batch; None is the sweeper.

        Raises:
            ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER, 503 STORAGE_UNAVAILABLE or of the database.
        """
        batch, found = transact(self._engine, partial(_load, request_id, execution))
        if batch.status is not BatchStatus.IMPORTING or found is None:
            return batch
        try:
            self._import(batch, found)
        except _Stopped:
            log.info("import.stopped", request_id=str(request_id))
        except SheetError as error:
            self._give_up(request_id, sheet_invalid(error))
        except ApiError as error:
            if error.reason not in {*_GONE, Reason.QUOTA_EXCEEDED}:
                raise
            self._give_up(request_id, error)
        return transact(self._engine, partial(load_batch, request_id=request_id))

    def _import(self, batch: Batch, found: Import) -> None:
        asked = _request_of(batch, found)
        body = self._body(found)
        if found.way is None:
            limits = stored_limits_from(self._settings)
            surveyed = survey_sheet(body, limits, asked, partial(self._hear, batch.request_id))
            transact(self._engine, partial(self._keep_survey, batch.request_id, surveyed, found))
            reach(Failpoint.IMPORT_CHECKED)
            batch, known = transact(self._engine, partial(_load, batch.request_id, None))
            if known is None or known.way is None:
                raise _Stopped
            found = known
        self._store(batch, found, asked, body)

    def _body(self, found: Import) -> SheetBody:
        stored = StoredSheet(found.csv_uri, found.asked["size_bytes"], found.object_generation)
        if stored.size_bytes <= self._settings.max_sheet_bytes:
            return HeldBody(self._storage.read(stored))
        return self._storage.body(stored)

    def _hear(self, request_id: UUID, rows: int) -> None:
        if not transact(self._engine, partial(note_checked, request_id=request_id, rows=rows)):
            raise _Stopped

    def _keep_survey(self, request_id: UUID, surveyed: Surveyed, found: Import, connection: Connection) -> None:
        sheet, facts = surveyed.sheet, surveyed.sheet.facts
        batch = lock_batch(connection, request_id)
        if batch.status is not BatchStatus.IMPORTING:
            raise _Stopped
        images = facts.images - facts.invalid_images
        if found.asked["is_guarded"]:
            check_quotas(connection, self._settings, batch.owner, Use(0, images, images))
        written = sheet.dialect.to_written(same_encoding=found.asked["same_encoding"])
        values = {
            "way": surveyed.way,
            "header": sheet.titles or sheet.header,
            "columns": sheet.columns.to_json(),
            "dialect": sheet.dialect.to_json() | {"written": written},
            "warnings": [warning.to_json() for warning in sheet.warnings.listed[:MAX_KEPT_PROBLEMS]],
            "warning_count": sheet.warnings.count,
            "row_count": facts.rows,
            "invalid_rows": facts.invalid_rows,
            "total": facts.images,
            "failed": facts.invalid_images,
        }
        note_survey(connection, request_id, values)
        told = estimated(connection, self._settings, facts, owner=batch.owner)
        note_estimate(connection, request_id, told, deadline_s=deadline_s(self._settings, told))
        log.info("import.checked", request_id=str(request_id), rows=facts.rows, images=facts.images)

    def _store(self, batch: Batch, found: Import, asked: SheetRequest, body: SheetBody) -> None:
        assert found.way is not None
        rows = open_surveyed(body, stored_limits_from(self._settings), asked, found.way, batch.row_count)
        stored = found.rows_stored
        for chunk in _chunks(rows, stored):
            if self._clock.monotonic() >= self._ends_at:
                return
            transact(self._engine, partial(self._store_chunk, batch.request_id, chunk, stored))
            stored += len(chunk)
            reach(Failpoint.IMPORT_CHUNK_COMMITTED)
        if stored != batch.row_count:
            # Only another release can read the same bytes otherwise.
            raise not_found(
                Reason.SHEET_NOT_FOUND, "The sheet reads otherwise than when it was checked; upload it again."
            )
        transact(self._engine, partial(_complete, batch.request_id, stored))
        reach(Failpoint.IMPORT_COMPLETED)

    def _store_chunk(self, request_id: UUID, rows: list[SheetRow], before: int, connection: Connection) -> None:
        batch = lock_batch(connection, request_id)
        found = load_import(connection, request_id)
        if batch.status is not BatchStatus.IMPORTING or found is None or found.rows_stored != before:
            # It may have been this very transaction, whose answer got lost: whoever is called next goes on behind it.
            raise _Stopped
        copied = copy_rows(
            connection,
            request_id,
            rows,
            options=ImageOptions.model_validate(batch.options),
            attempt_limit=self._settings.max_attempts,
            is_first=before == 0,
        )
        add_hosts(connection, request_id, copied.images_of_host)
        invalid = sum(bool(row.problems) for row in rows)
        note_chunk(connection, request_id, Chunk(len(rows), copied.images, copied.failed, copied.deduplicated, invalid))
        reach(Failpoint.IMPORT_CHUNK_WRITTEN)

    def _give_up(self, request_id: UUID, error: ApiError) -> None:
        kept = {
            "reason": error.reason,
            "message": error.message,
            "metadata": error.metadata,
            "details": [_shortened(detail) for detail in error.extra_details],
        }

        def work(connection: Connection) -> None:
            if lock_batch(connection, request_id).status is BatchStatus.IMPORTING:
                stop_import(connection, request_id, error={"error": kept})

        transact(self._engine, work)
        log.warning("import.failed", request_id=str(request_id), reason=error.reason)


def _load(request_id: UUID, execution: str | None, connection: Connection) -> tuple[Batch, Import | None]:
    batch = load_batch(connection, request_id)
    if execution is not None and batch.execution != execution:
        raise not_owner(request_id, execution)
    return batch, load_import(connection, request_id)


def _complete(request_id: UUID, stored: int, connection: Connection) -> None:
    batch = lock_batch(connection, request_id)
    found = load_import(connection, request_id)
    if batch.status is BatchStatus.IMPORTING and found is not None and found.rows_stored == stored == batch.row_count:
        add_accepted_event(connection, complete_import(connection, request_id))


def _request_of(batch: Batch, found: Import) -> SheetRequest:
    """Return what the sender said of the sheet."""
    columns = {role: tuple(titles) for role, titles in found.asked["columns"].items()}
    told = found.asked
    return SheetRequest(columns, OnInvalid(told["on_invalid"]), batch.options, told["encoding"], told.get("delimiter"))


def _chunks(rows: SheetRows, stored: int) -> Iterator[list[SheetRow]]:
    """Yield the rows that are not stored yet, so many at a time that they have some 5000 images, or are as many."""
    chunk: list[SheetRow] = []
    images = 0
    for row in rows.after(stored):
        chunk.append(row)
        images += len(row.urls)
        if max(images, len(chunk)) >= CHUNK_IMAGES:
            yield chunk
            chunk, images = [], 0
    if chunk:
        yield chunk


def _shortened(detail: Any) -> dict[str, Any]:
    """Return the detail of a refusal with the first of its problems."""
    return {name: value[:MAX_KEPT_PROBLEMS] if isinstance(value, list) else value for name, value in detail.items()}
