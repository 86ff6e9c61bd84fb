"""Builds the answers of the public routes from their models, so that they are what `/openapi.json` says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import Response, jsonify, request
from pydantic import BaseModel

from chassis.limits import Limit
from chassis.times import rfc3339
from ingest.batches.rate import progress_percent
from ingest.batches.savings import savings
from ingest.batches.status import BatchSummary, ProductPage
from ingest.http.limits import FLAT_LIMITS
from ingest.http.public_schemas import (
    BatchAnswer,
    LimitsAnswer,
    ProcessAnswer,
    StatusAnswer,
    SummaryAnswer,
    UploadAnswer,
)
from ingest.options import FORMATS, smaller_format_advice
from ingest.settings import IngestSettings
from ingest.sheets.corrected import column_titles, may_be_larger
from ingest.sheets.encodings import CODECS
from ingest.sheets.model import Layout, ProblemList, Sheet
from ingest.sheets.records import DELIMITERS
from ingest.state.batch import Batch
from ingest.state.imports import Import


def send(answer: BaseModel, *, code: int = 200) -> Response:
    """Return an answer as JSON with an HTTP status."""
    response = jsonify(answer.model_dump(mode="json"))
    response.status_code = code
    return response


def upload_answer(settings: IngestSettings, request_id: UUID, sheet: Sheet, told: Mapping[str, Any]) -> UploadAnswer:
    """Return what the sender of a sheet is told; `told` is the estimate."""
    warnings = sheet.warnings
    values: dict[str, Any] = {
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
        "may_be_larger": may_be_larger(sheet),
        "estimate": told,
        **sheet.problems.to_json(),
        "warnings": [warning.to_json() for warning in warnings.listed],
        "warning_count": warnings.count,
        "links": _links(settings, request_id),
    }
    return UploadAnswer(**values)


def unread_answer(settings: IngestSettings, request_id: UUID) -> UploadAnswer:
    """Return what the sender of a large sheet is told, which nobody has read yet."""
    names = ("total_images", "invalid_images", "total_rows", "invalid_rows", "dialect", "columns", "findings")
    values: dict[str, Any] = {
        "request_id": str(request_id),
        "status": "PENDING",
        **dict.fromkeys((*names, "may_be_larger", "estimate")),
        **ProblemList().to_json(),
        "warnings": [],
        "warning_count": 0,
        "links": _links(settings, request_id),
    }
    return UploadAnswer(**values)


def batch_answer(settings: IngestSettings, batch: Batch) -> BatchAnswer:
    """Return a batch as clients see it."""
    return BatchAnswer(**_batch(settings, batch))


def status_answer(settings: IngestSettings, found: ProductPage) -> StatusAnswer:
    """Return a batch with its hosts and a page of its products."""
    return StatusAnswer(
        **_batch(settings, found.batch),
        **found.rate,
        **found.hosts,
        sheet_import=_import(found.sheet_import),
        products=found.products,
        next_page_token=found.next_page_token,
    )


def summary_answer(settings: IngestSettings, found: BatchSummary) -> SummaryAnswer:
    """Return a batch with its rate."""
    return SummaryAnswer(**_batch(settings, found.batch), **found.rate, sheet_import=_import(found.sheet_import))


def send_if_changed(answer: SummaryAnswer) -> Response:
    """Return a summary with its ETag; 304 when the caller has it already.

    Rate and time left move on by themselves, so they are no part of the tag: it is a weak one. They are news only
    when an image has ended, and then the tag is another.
    """
    response = send(answer)
    told = answer.model_dump_json(exclude={"images_per_s", "eta_seconds"})
    response.set_etag(hashlib.sha256(told.encode()).hexdigest()[:32], weak=True)
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def process_answer(batch: Batch, message: str) -> ProcessAnswer:
    """Return `{"request_id", "status", "message"}`, the first release's answer of `/process`."""
    return ProcessAnswer(**process_values(batch, message))


def process_values(batch: Batch, message: str) -> dict[str, Any]:
    """Return the fields of `ProcessAnswer`, for the models that have more."""
    return {"request_id": str(batch.request_id), "status": batch.status.public, "message": message}


def limits_answer(settings: IngestSettings, found: tuple[Limit, ...]) -> LimitsAnswer:
    """Return every limit, and what a sheet may be."""
    limits = {limit.name: limit for limit in found}
    values: dict[str, Any] = {name: limits[name].value for name in FLAT_LIMITS}
    return LimitsAnswer(
        **values,
        sheet_buckets=list(settings.sheet_buckets),
        encodings=list(CODECS),
        delimiters=list(DELIMITERS),
        formats=list(FORMATS),
        quality={"min": 1, "max": 95, "default": 50},
        limits=[limit.to_json() for limit in limits.values()],
    )


def _batch(settings: IngestSettings, batch: Batch) -> dict[str, Any]:
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
        "reused": batch.reused,
        "progress_percent": progress_percent(batch),
        "estimate": batch.estimate,
        "generation": batch.generation,
        "options": dict(batch.options),
        # Batches of the first release have no layout: it read only one.
        "dialect": {"layout": Layout.CSV.value}
        | {key: batch.dialect[key] for key in batch.dialect if key != "written"},
        "bytes_in": batch.bytes_in,
        "bytes_out": batch.bytes_out,
        "savings": savings(batch.succeeded, batch.bytes_in, batch.bytes_out),
        "larger_than_source": _larger_than_source(batch),
        "error": error,
        "created_at": rfc3339(batch.created_at),
        "started_at": rfc3339(batch.started_at),
        "finished_at": rfc3339(batch.finished_at),
        "expires_at": rfc3339(batch.deadline_at),
        "links": _links(settings, batch.request_id),
    }


def _import(found: Import | None) -> dict[str, Any] | None:
    if found is None:
        return None
    state = "ENDED" if found.finished_at is not None else "CHECKING" if found.way is None else "STORING"
    names = ("rows_checked", "rows_stored", "images_stored", "warnings", "warning_count")
    return {"state": state, **{name: getattr(found, name) for name in names}}


def _larger_than_source(batch: Batch) -> dict[str, Any]:
    advice = smaller_format_advice(str(batch.options.get("format", "jpeg"))) if batch.larger_images else None
    return {"images": batch.larger_images, "bytes": batch.larger_bytes, "advice": advice}


def _links(settings: IngestSettings, request_id: UUID) -> dict[str, str]:
    own, reporter = settings.ingest_url.rstrip("/"), settings.reporter_url.rstrip("/")
    return {
        "status": f"{own}/status/{request_id}",
        "cancel": f"{own}/cancel",
        "retry": f"{own}/retry",
        "download": f"{reporter}/download_csv?request_id={quote(str(request_id))}",
    }
