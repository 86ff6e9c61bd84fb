"""Takes a sheet in: one transaction for batch, rows, images, idempotency key and outbox entries, or nothing at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from chassis.db.engine import transact
from chassis.failpoints import reach
from ingest.batches.quotas import Use, check_backlog, check_quotas, confirm_quotas
from ingest.errors import ApiError, Reason, Status
from ingest.events.payload import add_accepted_event
from ingest.failpoints import Failpoint
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.model import Sheet
from ingest.state.batch import Batch, load_batch
from ingest.state.batch_status import insert_batch
from ingest.state.idempotency import EarlierUpload, IdempotencyKey, take_key
from ingest.state.outbox import OutboxKind, add_entry
from ingest.state.sheet_copy import copy_sheet


@dataclass(frozen=True, slots=True)
class Submission:
    """A readable sheet and what its sender asked for."""

    sheet: Sheet
    body: bytes
    source_name: str
    options: ImageOptions
    webhook_url: str | None
    owner: str | None = None
    same_encoding: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an upload; `replayed` when an earlier request with the same key made the batch."""

    request_id: UUID
    response: Mapping[str, Any]
    replayed: bool
    outbox_id: int | None


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

    def work(connection: Connection) -> Accepted:
        if key is not None:
            earlier = take_key(connection, key, submission.owner, response, ttl_s=settings.idempotency_ttl_s)
            if earlier is not None:
                return _answer_of(key, earlier)
        check_backlog(connection, settings)
        check_quotas(connection, settings, submission.owner, new)
        outbox_id = None
        # No row means that this very transaction was committed before and only its answer got lost.
        if _store(connection, settings, submission, request_id, import_key=None):
            outbox_id = add_entry(connection, OutboxKind.START, request_id, generation=1)
        confirm_quotas(connection, settings, submission.owner, new)
        reach(Failpoint.UPLOAD_WRITTEN)
        return Accepted(request_id, response, replayed=False, outbox_id=outbox_id)

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
        add_accepted_event(connection, load_batch(connection, request_id))
        copy_sheet(connection, request_id, sheet.rows, options=submission.options, attempt_limit=settings.max_attempts)
    return inserted
