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
from ingest.batches.copy_sheet import copy_sheet
from ingest.batches.quotas import Use, check_backlog, check_quotas, confirm_quotas
from ingest.errors import ApiError, Reason, Status
from ingest.events.outbox import OutboxKind, add_entry
from ingest.events.relay import announce_accepted
from ingest.failpoints import Failpoint
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.model import Sheet
from ingest.state.batch import Batch, load_batch


@dataclass(frozen=True, slots=True)
class Submission:
    """A readable sheet and what its sender asked for."""

    sheet: Sheet
    body: bytes
    source_name: str
    options: ImageOptions
    webhook_url: str | None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key for one upload, and the fingerprint of what came with it."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an upload; `replayed` when an earlier request with the same key made the batch."""

    request_id: UUID
    response: Mapping[str, Any]
    replayed: bool
    outbox_id: int | None


_INSERT_BATCH = text(
    """
    INSERT INTO batches (request_id, owner, status, options, header, columns, dialect, source_name, source_sha256,
                         webhook_url, row_count, invalid_rows, total, pending, sealed_at, deadline_at, import_key)
    VALUES (:request_id, :owner, CASE WHEN :total = 0 THEN 'SEALING' ELSE 'PENDING' END,
            CAST(:options AS jsonb), CAST(:header AS jsonb), CAST(:columns AS jsonb), CAST(:dialect AS jsonb),
            :source_name, :source_sha256, :webhook_url, :row_count, :invalid_rows, :total, :total,
            CASE WHEN :total = 0 THEN now() END, now() + make_interval(secs => :deadline_s), :import_key)
    ON CONFLICT DO NOTHING
    """
)
_IMPORTED = text("SELECT request_id FROM batches WHERE import_key = :import_key")
_FORGET_EXPIRED_KEY = text(
    """
    DELETE FROM idempotency_keys
    WHERE owner = :owner AND endpoint = 'upload' AND key = :key AND expires_at <= now()
    """
)
_TAKE_KEY = text(
    """
    INSERT INTO idempotency_keys (owner, endpoint, key, fingerprint, response, expires_at)
    VALUES (:owner, 'upload', :key, :fingerprint, CAST(:response AS jsonb), now() + make_interval(secs => :ttl_s))
    ON CONFLICT DO NOTHING
    """
)
_READ_KEY = text(
    "SELECT fingerprint, response FROM idempotency_keys WHERE owner = :owner AND endpoint = 'upload' AND key = :key"
)


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
    images = submission.sheet.facts.images
    new = Use(open_batches=1, open_images=images, daily_images=images)

    def work(connection: Connection) -> Accepted:
        if key is not None:
            earlier = _take_key(connection, settings, key, submission.owner, response)
            if earlier is not None:
                return earlier
        check_backlog(connection, settings)
        check_quotas(connection, settings, submission.owner, new)
        outbox_id = None
        # No row means that this very transaction was committed before and only its answer got lost.
        if _insert_batch(connection, settings, submission, request_id, import_key=None):
            outbox_id = add_entry(connection, OutboxKind.START, request_id, generation=1)
        confirm_quotas(connection, settings, submission.owner, new)
        reach(Failpoint.UPLOAD_WRITTEN)
        return Accepted(request_id, response, replayed=False, outbox_id=outbox_id)

    return transact(engine, work)


def submit_import(engine: Engine, settings: IngestSettings, submission: Submission, *, import_key: str) -> Batch:
    """Store a sheet for a workflow execution; a repeat with the same `import_key` returns the same batch."""
    request_id = uuid4()

    def work(connection: Connection) -> Batch:
        if _insert_batch(connection, settings, submission, request_id, import_key=import_key):
            return load_batch(connection, request_id)
        return load_batch(connection, connection.execute(_IMPORTED, {"import_key": import_key}).scalar_one())

    return transact(engine, work)


def find_import(engine: Engine, import_key: str) -> Batch | None:
    """Return the batch that an execution imported before, if any."""

    def work(connection: Connection) -> Batch | None:
        request_id = connection.execute(_IMPORTED, {"import_key": import_key}).scalar_one_or_none()
        return None if request_id is None else load_batch(connection, request_id)

    return transact(engine, work)


def _take_key(
    connection: Connection,
    settings: IngestSettings,
    key: IdempotencyKey,
    owner: str | None,
    response: Mapping[str, Any],
) -> Accepted | None:
    """Take the key for this transaction, or return the answer of the request that took it before.

    The insert waits for a rival that has not committed yet; afterwards either the key is ours or its answer is visible.
    """
    # Nobody's keys are those of the owner "", which no API key can have.
    place = {"owner": owner or "", "key": key.key}
    connection.execute(_FORGET_EXPIRED_KEY, place)
    taken = connection.execute(
        _TAKE_KEY,
        place
        | {
            "fingerprint": key.fingerprint,
            "response": json.dumps(response),
            "ttl_s": settings.idempotency_ttl_s,
        },
    )
    if taken.rowcount:
        return None
    stored = connection.execute(_READ_KEY, place).mappings().one()
    if stored["fingerprint"] != key.fingerprint:
        raise ApiError(
            Status.FAILED_PRECONDITION,
            Reason.IDEMPOTENCY_MISMATCH,
            "This Idempotency-Key was used with another sheet or other form fields.",
            metadata={"key": key.key},
            http_code=422,
        )
    return Accepted(UUID(stored["response"]["request_id"]), stored["response"], replayed=True, outbox_id=None)


def _insert_batch(
    connection: Connection,
    settings: IngestSettings,
    submission: Submission,
    request_id: UUID,
    *,
    import_key: str | None,
) -> bool:
    sheet = submission.sheet
    inserted = connection.execute(
        _INSERT_BATCH,
        {
            "request_id": request_id,
            "owner": submission.owner,
            "options": submission.options.model_dump_json(),
            "header": json.dumps(sheet.header),
            "columns": json.dumps(sheet.columns.to_json()),
            "dialect": json.dumps(sheet.dialect.to_json()),
            "source_name": submission.source_name,
            "source_sha256": hashlib.sha256(submission.body).hexdigest(),
            "webhook_url": submission.webhook_url,
            "row_count": sheet.facts.rows,
            "invalid_rows": sheet.facts.invalid_rows,
            "total": sheet.facts.images,
            "deadline_s": settings.batch_deadline_s,
            "import_key": import_key,
        },
    )
    if not inserted.rowcount:
        return False
    announce_accepted(connection, load_batch(connection, request_id))
    copy_sheet(connection, request_id, sheet.rows, options=submission.options, attempt_limit=settings.max_attempts)
    return True
