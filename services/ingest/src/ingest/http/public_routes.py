"""The public interface: upload, status, list, cancel, retry, limits. Routes parse, call one use case, and shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from flask import Blueprint, Response, jsonify

from chassis.auth.api_keys import Scope
from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.http.key_guard import caller
from chassis.http.requests import parse_id, parse_json, parse_query, takes_query
from chassis.times import rfc3339
from ingest.batches.cancel import cancel_batch
from ingest.batches.estimate import estimate
from ingest.batches.quotas import read_use
from ingest.batches.rate import progress_percent
from ingest.batches.retry import retry_batch
from ingest.batches.status import list_batches, read_products
from ingest.batches.submit import Submission, fingerprint, submit_upload
from ingest.dependencies import Dependencies
from ingest.failpoints import Failpoint
from ingest.http.limits import FLAT_LIMITS, limits_of
from ingest.http.public_schemas import BatchReference, ListQuery, PageQuery, StatusQuery
from ingest.http.upload_request import idempotency_key, parse_upload, read_upload
from ingest.options import FORMATS
from ingest.settings import IngestSettings
from ingest.sheets.corrected import column_titles, corrected_csv, validation_answer
from ingest.sheets.encodings import CODECS
from ingest.sheets.model import Layout, OnInvalid, Sheet
from ingest.sheets.records import DELIMITERS
from ingest.state.batch import Batch
from ingest.state.idempotency import IdempotencyKey
from ingest.supervision.start import relay_start_now


def public_routes(dependencies: Dependencies) -> Blueprint:
    """Return the blueprint of the public routes."""
    bp = Blueprint("public", __name__)
    settings, engine, keys = dependencies.settings, dependencies.engine, dependencies.keys
    reads, writes = keys.needs(Scope.READ), keys.needs(Scope.WRITE)

    @bp.post("/upload")
    @writes
    @takes_query
    def upload() -> Response:
        """Take a sheet or items; 202 with `request_id`.

        `Idempotency-Key` makes a repeat harmless; `validate_only` stores nothing.
        """
        key = idempotency_key()
        sent = parse_upload(settings, dependencies.storage)
        dependencies.webhook_targets.check(sent.webhook_url)
        sheet = read_upload(sent, settings)
        if sent.validate_only:
            found = estimate(engine, settings, sheet.facts, caller=caller())
            return jsonify(validation_answer(sheet, sent.options) | {"estimate": found})
        request_id = uuid4()
        accepted = submit_upload(
            engine,
            settings,
            Submission(
                sheet, sent.body, sent.source_name, sent.options, sent.webhook_url, caller().owner, sent.same_encoding
            ),
            request_id=request_id,
            response=_upload_answer(settings, request_id, sheet),
            key=None if key is None else IdempotencyKey(key, fingerprint(sent.body, sent.fields)),
        )
        reach(Failpoint.UPLOAD_COMMITTED)
        relay_start_now(engine, dependencies.tasks, settings, accepted.outbox_id)
        response = jsonify(accepted.response)
        response.status_code = 202
        response.headers["Location"] = f"/status/{accepted.request_id}"
        if accepted.replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    @bp.post("/corrected_sheet")
    @writes
    @takes_query
    def corrected_sheet() -> Response:
        """Take the same as an upload and store nothing; the sheet comes back repaired with a column `Problems`."""
        sent = parse_upload(settings, dependencies.storage)
        # Bad rows are what the copy is for, so they are no reason to refuse it.
        sheet = read_upload(sent, settings, replace(sent.asked, on_invalid=OnInvalid.SKIP))
        response = Response(corrected_csv(sheet), mimetype="text/csv")
        response.headers["Content-Disposition"] = 'attachment; filename="corrected.csv"'
        return response

    def status_of(request_id: UUID, page: PageQuery) -> Response:
        found = read_products(
            engine, settings, request_id, caller=caller(), page_size=page.page_size, token=page.page_token
        )
        return jsonify(
            batch_answer(settings, found.batch)
            | found.rate
            | found.hosts
            | {"products": list(found.products), "next_page_token": found.next_page_token}
        )

    @bp.get("/status")
    @reads
    @takes_query
    def status_by_query() -> Response:
        """Show the batch `request_id` and a page of its products."""
        query = parse_query(StatusQuery)
        return status_of(parse_id(query.request_id), query)

    @bp.get("/status/<request_id>")
    @reads
    @takes_query
    def status_by_path(request_id: str) -> Response:
        """Show the same by path."""
        return status_of(parse_id(request_id), parse_query(PageQuery))

    @bp.get("/requests")
    @reads
    @takes_query
    def requests_list() -> Response:
        """List batches, newest first; `status`, `page_size`, `page_token`."""
        query = parse_query(ListQuery)
        page = list_batches(
            engine,
            caller=caller(),
            status=query.status,
            page_size=query.page_size,
            token=query.page_token,
        )
        return jsonify(
            {
                "requests": [batch_answer(settings, batch) for batch in page.batches],
                "next_page_token": page.next_page_token,
            }
        )

    @bp.post("/cancel")
    @writes
    def cancel() -> Response:
        """End the open images as CANCELLED; results stay."""
        ended = cancel_batch(engine, parse_id(parse_json(BatchReference).request_id), caller=caller())
        if ended.sealed:
            dependencies.callbacks.batch_sealed(ended.batch)
        batch = ended.batch
        message = (
            "The batch was cancelled" if batch.status.is_final else "Cancelling; finished images keep their outputs"
        )
        answer = process_answer(batch, message) | {"cancelled_images": ended.images}
        return _accepted(answer)

    @bp.post("/retry")
    @writes
    def retry() -> Response:
        """Try the failed and cancelled images of a finished batch again."""
        request_id = parse_id(parse_json(BatchReference).request_id)
        retried = retry_batch(engine, settings, request_id, caller=caller())
        relay_start_now(engine, dependencies.tasks, settings, retried.outbox_id)
        answer = process_answer(retried.batch, f"{retried.reopened} images are tried again")
        return _accepted(answer | {"retried_images": retried.reopened, "generation": retried.batch.generation})

    @bp.get("/limits")
    @reads
    def limits_list() -> Response:
        """List every limit with name, value and unit, quotas with the caller's use."""
        owner = caller().owner
        use = transact(engine, lambda connection: read_use(connection, owner))
        limits = {limit.name: limit for limit in limits_of(settings, use)}
        return jsonify(
            {
                **{name: limits[name].value for name in FLAT_LIMITS},
                "sheet_buckets": list(settings.sheet_buckets),
                "encodings": list(CODECS),
                "delimiters": list(DELIMITERS),
                "formats": list(FORMATS),
                "quality": {"min": 1, "max": 95, "default": 50},
                "limits": [limit.to_json() for limit in limits.values()],
            }
        )

    return bp


def process_answer(batch: Batch, message: str) -> dict[str, Any]:
    """Return `{"request_id", "status", "message"}`, the seed's answer of `/process`."""
    return {"request_id": str(batch.request_id), "status": batch.status.public, "message": message}


def batch_answer(settings: IngestSettings, batch: Batch) -> dict[str, Any]:
    """Return a batch as clients see it."""
    error = None if batch.error is None else {name: batch.error.get(name) for name in ("step", "error", "at")}
    return {
        "request_id": str(batch.request_id),
        "owner": batch.owner,
        "status": batch.status.public,
        "source_name": batch.source_name,
        "counts": batch.counts(),
        "total_rows": batch.row_count,
        "invalid_rows": batch.invalid_rows,
        "deduplicated": batch.deduplicated,
        "progress_percent": progress_percent(batch),
        "generation": batch.generation,
        "options": dict(batch.options),
        # Batches of the first release have no layout: it read only one.
        "dialect": {"layout": Layout.CSV.value}
        | {key: batch.dialect[key] for key in batch.dialect if key != "written"},
        "bytes_in": batch.bytes_in,
        "bytes_out": batch.bytes_out,
        "error": error,
        "created_at": rfc3339(batch.created_at),
        "started_at": rfc3339(batch.started_at),
        "finished_at": rfc3339(batch.finished_at),
        "expires_at": rfc3339(batch.deadline_at),
        "links": _links(settings, batch.request_id),
    }


def _upload_answer(settings: IngestSettings, request_id: UUID, sheet: Sheet) -> dict[str, Any]:
    warnings = sheet.warnings
    return {
        "request_id": str(request_id),
        # A sheet without images is sealed at once, but for its sender it is as new as any other.
        "status": "PENDING",
        "total_images": sheet.facts.images,
        "invalid_images": sheet.facts.invalid_images,
        "total_rows": sheet.facts.rows,
        "invalid_rows": sheet.facts.invalid_rows,
        "dialect": sheet.dialect.to_json(),
        "columns": column_titles(sheet),
        "findings": sheet.findings.to_json(),
        **sheet.problems.to_json(),
        "warnings": [warning.to_json() for warning in warnings.listed],
        "warning_count": warnings.count,
        "links": _links(settings, request_id),
    }


def _links(settings: IngestSettings, request_id: UUID) -> dict[str, str]:
    own, reporter = settings.ingest_url.rstrip("/"), settings.reporter_url.rstrip("/")
    return {
        "status": f"{own}/status/{request_id}",
        "cancel": f"{own}/cancel",
        "retry": f"{own}/retry",
        "download": f"{reporter}/download_csv?request_id={quote(str(request_id))}",
    }


def _accepted(answer: dict[str, Any]) -> Response:
    response = jsonify(answer)
    response.status_code = 202
    return response
