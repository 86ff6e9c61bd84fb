"""Takes a sheet in: one transaction for batch, rows, images, idempotency key and outbox entries, or nothing at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from chassis.db.engine import transact
from chassis.failpoints import reach
from ingest.batches.backlog import check_backlog
from ingest.batches.estimate import deadline_s, estimated
from ingest.batches.quotas import Use, check_quotas, confirm_quotas
from ingest.clients.sheet_storage import StoredSheet
from ingest.errors import ApiError, Reason, Status
from ingest.events.payload import add_accepted_event
from ingest.failpoints import Failpoint
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.intake import SheetRequest
from ingest.sheets.model import Columns, Dialect, Sheet
from ingest.state.batch import Batch, load_batch
from ingest.state.batch_status import insert_batch, note_estimate
from ingest.state.idempotency import EarlierUpload, IdempotencyKey, take_key
from ingest.state.imports import add_import
from ingest.state.outbox import OutboxKind, add_entry
from ingest.state.sheet_copy import copy_sheet


@dataclass(frozen=True, slots=True)
class Submission:
    """A readable sheet, what its sender asked for, and what it was told that this takes; None: nothing yet."""

    sheet: Sheet
    body: bytes
    source_name: str
    options: ImageOptions
    webhook_url: str | None
    owner: str | None = None
    same_encoding: bool = False
    fresh: bool = False
    estimate: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an upload; `replayed` when an earlier request with the same key made the batch."""

    request_id: UUID
    response: Mapping[str, Any]
    replayed: bool
    outbox_id: int | None


_NO_COLUMNS = Columns(serial=None, name=None, urls=(), output=None, errors=None)
_UNREAD = Dialect(encoding="utf-8", bom=False, delimiter=",")
"""What is said of a sheet before it is read."""

_IMPORTED = text("SELECT request_id FROM batches WHERE import_key = :import_key")


def fingerprint(body: bytes, form: Mapping[str, str]) -> str:
    """Return the SHA-256 of a sheet and the form fields beside it, whatever the multipart boundaries were."""
    digest = hashlib.sha256(hashlib.sha256(body).digest())
    digest.update(json.dumps(sorted(form.items())).encode())
    return digest.hexdigest()


def submit_upload(
    engine: Engine,
    settings: IngestSettings,
    submission: Submission,
    *,
    request_id: UUID,
    response: Mapping[str, Any],
    key: IdempotencyKey | None,
) -> Accepted:
    """Store an upload; `response` is the answer that a repeat with the same key gets again.

    Raises:
        ApiError: 422 IDEMPOTENCY_MISMATCH, 429 QUOTA_EXCEEDED, 503 BACKLOG_TOO_OLD, or 503 when the database is away;
            then nothing is stored.
    """
    images = submission.sheet.facts.images - submission.sheet.facts.invalid_images
    new = Use(open_batches=1, open_images=images, daily_images=images)

    store = partial(_store, settings=settings, submission=submission, request_id=request_id, import_key=None)
    return _submit(
        engine,
        settings,
        submission.owner,
        new,
        store,
        Accepted(request_id, response, replayed=False, outbox_id=None),
        key,
    )


@dataclass(frozen=True, slots=True)
class StoredSubmission:
    """A large sheet in Cloud Storage that nobody has read yet, and what its sender says of it.

    `is_guarded` is false for an operator, whose batches no quota refuses.
    """

    stored: StoredSheet
    asked: SheetRequest
    options: ImageOptions
    webhook_url: str | None
    owner: str | None
    same_encoding: bool = False
    is_guarded: bool = True
    fresh: bool = False

    @property
    def source_name(self) -> str:
        """Return the name of the object without its folders."""
        return self.stored.uri.rpartition("/")[2]


def submit_stored(
    engine: Engine,
    settings: IngestSettings,
    submission: StoredSubmission,
    *,
    request_id: UUID,
    response: Mapping[str, Any],
    key: IdempotencyKey | None,
) -> Accepted:
    """Store that a large sheet is to be imported; its rows follow in chunks (`import_chunks`).

    Raises:
        ApiError: as `submit_upload`. Quotas of images are looked at once the images are counted.
    """
    new = Use(open_batches=1, open_images=0, daily_images=0)

    store = partial(_store_unread, settings=settings, submission=submission, request_id=request_id, import_key=None)
    return _submit(
        engine,
        settings,
        submission.owner,
        new,
        store,
        Accepted(request_id, response, replayed=False, outbox_id=None),
        key,
    )


def submit_stored_import(
    engine: Engine, settings: IngestSettings, submission: StoredSubmission, *, import_key: str
) -> Batch:
    """Store for a workflow execution that a large sheet is to be imported; a repeat returns the same batch."""
    request_id = uuid4()

    def work(connection: Connection) -> Batch:
        if _store_unread(connection, settings, submission, request_id, import_key=import_key):
            return load_batch(connection, request_id)
        return load_batch(connection, connection.execute(_IMPORTED, {"import_key": import_key}).scalar_one())

    return transact(engine, work)


def submit_import(engine: Engine, settings: IngestSettings, submission: Submission, *, import_key: str) -> Batch:
    """Store a sheet for a workflow execution; a repeat with the same `import_key` returns the same batch."""
    request_id = uuid4()

    def work(connection: Connection) -> Batch:
        if _store(connection, settings, submission, request_id, import_key=import_key):
            return load_batch(connection, request_id)
        return load_batch(connection, connection.execute(_IMPORTED, {"import_key": import_key}).scalar_one())

    return transact(engine, work)


def find_import(engine: Engine, import_key: str) -> Batch | None:
    """Return the batch that an execution imported before, if any."""

    def work(connection: Connection) -> Batch | None:
        request_id = connection.execute(_IMPORTED, {"import_key": import_key}).scalar_one_or_none()
        return None if request_id is None else load_batch(connection, request_id)

    return transact(engine, work)


def _submit(
    engine: Engine,
    settings: IngestSettings,
    owner: str | None,
    new: Use,
    store: Callable[[Connection], bool],
    accepted: Accepted,
    key: IdempotencyKey | None,
) -> Accepted:
    """Store a batch with its key and its start, if the owner may have it; an earlier upload is answered as it was."""

    def work(connection: Connection) -> Accepted:
        if key is not None:
            earlier = take_key(connection, key, owner, accepted.response, ttl_s=settings.idempotency_ttl_s)
            if earlier is not None:
                return _answer_of(key, earlier)
        check_backlog(connection, settings)
        check_quotas(connection, settings, owner, new)
        outbox_id = None
        # No row means that this very transaction was committed before and only its answer got lost.
        if store(connection):
            outbox_id = add_entry(connection, OutboxKind.START, accepted.request_id, generation=1)
        confirm_quotas(connection, settings, owner, new)
        reach(Failpoint.UPLOAD_WRITTEN)
        return replace(accepted, outbox_id=outbox_id)

    return transact(engine, work)


def _answer_of(key: IdempotencyKey, earlier: EarlierUpload) -> Accepted:
    """Return the answer of the upload that took the key before."""
    if earlier.fingerprint != key.fingerprint:
        raise ApiError(
            Status.FAILED_PRECONDITION,
            Reason.IDEMPOTENCY_MISMATCH,
            "This Idempotency-Key was used with another sheet or other form fields.",
            metadata={"key": key.key},
            http_code=422,
        )
    return Accepted(UUID(earlier.response["request_id"]), earlier.response, replayed=True, outbox_id=None)


def _store(
    connection: Connection,
    settings: IngestSettings,
    submission: Submission,
    request_id: UUID,
    *,
    import_key: str | None,
) -> bool:
    """Insert a batch with its rows and images; false when its id or import key is there already."""
    sheet = submission.sheet
    inserted = insert_batch(
        connection,
        {
            "request_id": request_id,
            "owner": submission.owner,
            "options": submission.options.model_dump(),
            "header": sheet.titles or sheet.header,
            "columns": sheet.columns.to_json(),
            "dialect": sheet.dialect.to_json()
            | {"written": sheet.dialect.to_written(same_encoding=submission.same_encoding)},
            "source_name": submission.source_name,
            "source_sha256": hashlib.sha256(submission.body).hexdigest(),
            "webhook_url": submission.webhook_url,
            "row_count": sheet.facts.rows,
            "invalid_rows": sheet.facts.invalid_rows,
            "deduplicated": sheet.facts.images - sheet.facts.invalid_images - sheet.facts.unique_images,
            "total": sheet.facts.images,
            "failed": sheet.facts.invalid_images,
            "deadline_s": settings.batch_deadline_s,
            "import_key": import_key,
            "fresh": submission.fresh,
        },
    )
    if inserted:
        told = submission.estimate or estimated(connection, settings, sheet.facts, owner=submission.owner)
        note_estimate(connection, request_id, told, deadline_s=deadline_s(settings, told))
        add_accepted_event(connection, load_batch(connection, request_id))
        copy_sheet(connection, request_id, sheet.rows, options=submission.options, attempt_limit=settings.max_attempts)
    return inserted


def _store_unread(
    connection: Connection,
    settings: IngestSettings,
    submission: StoredSubmission,
    request_id: UUID,
    *,
    import_key: str | None,
) -> bool:
    """Insert a batch whose sheet is not read yet; false when its id or import key is there already."""
    stored, asked = submission.stored, submission.asked
    inserted = insert_batch(
        connection,
        {
            "request_id": request_id,
            "owner": submission.owner,
            "options": submission.options.model_dump(),
            "header": (),
            "columns": _NO_COLUMNS.to_json(),
            "dialect": _UNREAD.to_json(),
            "source_name": submission.source_name,
            # Of the object's name and generation, which no other content ever has.
            "source_sha256": hashlib.sha256(f"{stored.uri}#{stored.generation}".encode()).hexdigest(),
            "webhook_url": submission.webhook_url,
            "row_count": 0,
            "invalid_rows": 0,
            "deduplicated": 0,
            "total": 0,
            "failed": 0,
            "deadline_s": settings.batch_deadline_s,
            "import_key": import_key,
            "fresh": submission.fresh,
            "importing": True,
        },
    )
    if inserted:
        add_import(
            connection,
            request_id,
            csv_uri=stored.uri,
            object_generation=stored.generation,
            asked={
                "size_bytes": stored.size_bytes,
                "columns": {role: list(titles) for role, titles in asked.columns.items()},
                "on_invalid": asked.on_invalid.value,
                "encoding": asked.encoding,
                "delimiter": asked.delimiter,
                "same_encoding": submission.same_encoding,
                "is_guarded": submission.is_guarded,
            },
        )
    return inserted
