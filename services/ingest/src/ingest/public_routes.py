"""The public interface: upload, status, list, cancel, retry, limits. Routes parse, call one use case, and shape."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from flask import Blueprint, Response, jsonify

from ingest.batches import Batch, rfc3339
from ingest.client_changes import cancel_batch, retry_batch
from ingest.dependencies import Dependencies
from ingest.doctor import corrected_csv, validation_answer
from ingest.public_models import BatchReference, ListQuery, PageQuery, StatusQuery
from ingest.request_parsing import idempotency_key, parse_json, parse_query, parse_request_id
from ingest.settings import IngestSettings
from ingest.sheets.decoding import ENCODINGS
from ingest.sheets.intake import SheetRequest
from ingest.sheets.links import MAX_URL_CHARS
from ingest.sheets.model import Layout, OnInvalid, Sheet
from ingest.sheets.records import DELIMITERS, MAX_FIELD_CHARS, MAX_RECORD_CHARS
from ingest.starting import relay_start_now
from ingest.submission import IdempotencyKey, Submission, fingerprint, submit_upload
from ingest.upload_form import MAX_ITEMS_BYTES, parse_upload, read_upload
from ingest.upload_models import MAX_ITEMS
from ingest.views import list_batches, read_products


def public_routes(dependencies: Dependencies) -> Blueprint:
    """Return the blueprint of the public routes."""
    bp = Blueprint("public", __name__)
    settings, engine = dependencies.settings, dependencies.engine

    @bp.post("/upload")
    def upload() -> Response:
        key = idempotency_key()
        sent = parse_upload(settings, dependencies.storage)
        sheet = read_upload(sent, settings)
        if sent.validate_only:
            return jsonify(validation_answer(sheet, sent.options))
        request_id = uuid4()
        accepted = submit_upload(
            engine,
            settings,
            Submission(sheet, sent.body, sent.source_name, sent.options, sent.webhook_url),
            request_id=request_id,
            response=_upload_answer(settings, request_id, sheet),
            key=None if key is None else IdempotencyKey(key, fingerprint(sent.body, sent.fields)),
        )
        relay_start_now(engine, dependencies.tasks, settings, accepted.outbox_id)
        response = jsonify(accepted.response)
        response.status_code = 202
        response.headers["Location"] = f"/status/{accepted.request_id}"
        if accepted.replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    @bp.post("/corrected_sheet")
    def corrected_sheet() -> Response:
        sent = parse_upload(settings, dependencies.storage)
        # Bad rows are what the copy is for, so they are no reason to refuse it.
        sheet = read_upload(sent, settings, SheetRequest(sent.asked.columns, OnInvalid.SKIP))
        response = Response(corrected_csv(sheet), mimetype="text/csv")
        response.headers["Content-Disposition"] = 'attachment; filename="corrected.csv"'
        return response

    def status_of(request_id: UUID, page: PageQuery) -> Response:
        found = read_products(engine, settings, request_id, page_size=page.page_size, page_token=page.page_token)
        return jsonify(
            batch_answer(settings, found.batch)
            | found.hosts
            | {"products": list(found.products), "next_page_token": found.next_page_token}
        )

    @bp.get("/status")
    def status_by_query() -> Response:
        query = parse_query(StatusQuery)
        return status_of(parse_request_id(query.request_id), query)

    @bp.get("/status/<request_id>")
    def status_by_path(request_id: str) -> Response:
        return status_of(parse_request_id(request_id), parse_query(PageQuery))

    @bp.get("/requests")
    def requests_list() -> Response:
        query = parse_query(ListQuery)
        page = list_batches(engine, status=query.status, page_size=query.page_size, page_token=query.page_token)
        return jsonify(
            {
                "requests": [batch_answer(settings, batch) for batch in page.batches],
                "next_page_token": page.next_page_token,
            }
        )

    @bp.post("/cancel")
    def cancel() -> Response:
        settled = cancel_batch(engine, parse_request_id(parse_json(BatchReference).request_id))
        if settled.sealed:
            dependencies.callbacks.batch_sealed(settled.batch)
        batch = settled.batch
        message = (
            "The batch was cancelled" if batch.status.is_final else "Cancelling; finished images keep their outputs"
        )
        answer = process_answer(batch, message) | {"cancelled_images": settled.ended}
        return _accepted(answer)

    @bp.post("/retry")
    def retry() -> Response:
        retried = retry_batch(engine, settings, parse_request_id(parse_json(BatchReference).request_id))
        relay_start_now(engine, dependencies.tasks, settings, retried.outbox_id)
        answer = process_answer(retried.batch, f"{retried.reopened} images are tried again")
        return _accepted(answer | {"retried_images": retried.reopened, "generation": retried.batch.generation})

    @bp.get("/limits")
    def limits() -> Response:
        return jsonify(
            {
                "max_sheet_bytes": settings.max_sheet_bytes,
                "max_rows": settings.max_rows,
                "max_images": settings.max_images,
                "max_urls_per_cell": settings.max_urls_per_cell,
                "max_columns": settings.max_columns,
                "max_field_characters": MAX_FIELD_CHARS,
                "max_row_characters": MAX_RECORD_CHARS,
                "max_url_characters": MAX_URL_CHARS,
                "max_attempts": settings.max_attempts,
                "batch_deadline_s": settings.batch_deadline_s,
                "idempotency_ttl_s": settings.idempotency_ttl_s,
                "max_items": MAX_ITEMS,
                "max_items_bytes": MAX_ITEMS_BYTES,
                "sheet_buckets": list(settings.sheet_buckets),
                "encodings": list(ENCODINGS),
                "delimiters": list(DELIMITERS),
                "formats": ["jpeg", "webp", "png", "keep"],
                "quality": {"min": 1, "max": 95, "default": 50},
            }
        )

    return bp


def process_answer(batch: Batch, message: str) -> dict[str, Any]:
    """Return `{"request_id", "status", "message"}`, the seed's answer of `/process`."""
    return {"request_id": str(batch.request_id), "status": batch.status.public, "message": message}


def batch_answer(settings: IngestSettings, batch: Batch) -> dict[str, Any]:
    """Return a batch as clients see it."""
    settled = batch.succeeded + batch.failed
    error = None if batch.error is None else {name: batch.error.get(name) for name in ("step", "error", "at")}
    return {
        "request_id": str(batch.request_id),
        "status": batch.status.public,
        "source_name": batch.source_name,
        "counts": batch.counts(),
        "total_rows": batch.row_count,
        "invalid_rows": batch.invalid_rows,
        "progress_percent": round(100.0 * settled / batch.total, 1) if batch.total else 100.0,
        "generation": batch.generation,
        "options": dict(batch.options),
        # Batches of the first release have no layout: it read only one.
        "dialect": {"layout": Layout.CSV.value} | dict(batch.dialect),
        "bytes_in": batch.bytes_in,
        "bytes_out": batch.bytes_out,
        "error": error,
        "created_at": rfc3339(batch.created_at),
        "started_at": rfc3339(batch.started_at),
        "finished_at": rfc3339(batch.finished_at),
        "deadline_at": rfc3339(batch.deadline_at),
        "links": _links(settings, batch.request_id),
    }


def _upload_answer(settings: IngestSettings, request_id: UUID, sheet: Sheet) -> dict[str, Any]:
    warnings = sheet.warnings
    return {
        "request_id": str(request_id),
        # A sheet without images is sealed at once, but for its sender it is as new as any other.
        "status": "PENDING",
        "total_images": sheet.facts.images,
        "total_rows": sheet.facts.rows,
        "invalid_rows": sheet.facts.invalid_rows,
        "dialect": sheet.dialect.to_json(),
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
