"""Takes an upload in and starts its batch: the same for the JSON route and for the console."""

from __future__ import annotations

from uuid import UUID, uuid4

from chassis.failpoints import reach
from chassis.tracing import first_span
from ingest.batches.estimate import estimate
from ingest.batches.submit import Accepted, StoredSubmission, Submission, fingerprint, submit_stored, submit_upload
from ingest.dependencies import Dependencies
from ingest.failpoints import Failpoint
from ingest.http.answers import unread_answer, upload_answer
from ingest.http.upload_request import Upload
from ingest.sheets.model import Sheet
from ingest.state.idempotency import IdempotencyKey
from ingest.supervision.start import relay_start_now


def accept_upload(
    dependencies: Dependencies, sent: Upload, sheet: Sheet | None, *, owner: str | None, key: str | None
) -> Accepted:
    """Store a sheet and relay its start; with a `key` a repeat is answered as the first one was.

    `sheet` is None for a sheet in Cloud Storage that is too large for a request: it is read when the batch begins.

    Raises:
        ApiError: what `submit_upload` raises.
    """
    request_id = uuid4()
    with first_span("upload", request_id) as uploading:
        accepted = _store(dependencies, sent, sheet, request_id, owner=owner, key=key)
        reach(Failpoint.UPLOAD_COMMITTED)
        relay_start_now(dependencies.engine, dependencies.tasks, dependencies.settings, accepted.outbox_id)
        if accepted.replayed:
            uploading.leave_out()
    return accepted


def _store(
    dependencies: Dependencies,
    sent: Upload,
    sheet: Sheet | None,
    request_id: UUID,
    *,
    owner: str | None,
    key: str | None,
) -> Accepted:
    engine, settings = dependencies.engine, dependencies.settings
    kept = None if key is None else IdempotencyKey(key, fingerprint(sent.body, sent.fields))
    if sheet is not None:
        told = estimate(engine, settings, sheet.facts, owner=owner)
        return submit_upload(
            engine,
            settings,
            Submission(
                sheet,
                sent.body,
                sent.source_name,
                sent.options,
                sent.webhook_url,
                owner,
                sent.same_encoding,
                fresh=sent.fresh,
                estimate=told,
            ),
            request_id=request_id,
            response=upload_answer(settings, request_id, sheet, told).model_dump(mode="json"),
            key=kept,
        )
    assert sent.stored is not None
    return submit_stored(
        engine,
        settings,
        StoredSubmission(
            sent.stored,
            sent.asked,
            sent.options,
            sent.webhook_url,
            owner,
            sent.same_encoding,
            fresh=sent.fresh,
        ),
        request_id=request_id,
        response=unread_answer(settings, request_id).model_dump(mode="json"),
        key=kept,
    )
