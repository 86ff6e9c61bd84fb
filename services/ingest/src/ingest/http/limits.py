"""The table behind `/limits`: every limit a client can meet, as the settings and the modules declare it."""

from __future__ import annotations

import sys
from typing import Annotated

import chassis.auth.api_keys
import chassis.http.answer_pace
import chassis.http.body_pace
import chassis.http.gunicorn_worker
import chassis.http.page_tokens
import chassis.http.requests
import ingest.batches.hosts
import ingest.batches.images
import ingest.batches.import_chunks
import ingest.batches.problems
import ingest.batches.status
import ingest.http.batch_schemas
import ingest.http.public_schemas
import ingest.http.upload_request
import ingest.http.upload_schemas
import ingest.options
import ingest.sheets.corrected
import ingest.sheets.evidence
import ingest.sheets.header
import ingest.sheets.heading
import ingest.sheets.links
import ingest.sheets.model
import ingest.sheets.records
import ingest.sheets.table
import ingest.sheets.workbook
import ingest.state.sheet_copy
from chassis.limited import Limited
from chassis.limits import Limit, limits_of_modules, limits_of_settings
from ingest.batches.quotas import Use
from ingest.settings import IngestSettings

FORM_BYTES = 1024 * 1024
"""Bytes allowed for the multipart envelope and the fields beside the sheet."""

MAX_FORM_FIELD_BYTES: Annotated[
    int, Limited("bytes", "413 `BODY_TOO_LARGE`", "Largest field of a form that is not a file; it is held in memory")
] = 500_000
MAX_FORM_PARTS: Annotated[int, Limited("parts", "413 `BODY_TOO_LARGE`", "Most fields and files of a form")] = 1000

FLAT_LIMITS = (
    "max_sheet_bytes",
    "max_rows",
    "max_images",
    "max_urls_per_cell",
    "max_columns",
    "max_field_characters",
    "max_row_characters",
    "max_url_characters",
    "max_attempts",
    "batch_deadline_s",
    "idempotency_ttl_s",
    "max_items",
    "max_items_bytes",
)
"""Those that `/limits` answers as fields of their own too, as the first release did."""

_MODULES = (
    chassis.auth.api_keys,
    chassis.http.answer_pace,
    chassis.http.body_pace,
    chassis.http.gunicorn_worker,
    chassis.http.page_tokens,
    chassis.http.requests,
    ingest.batches.hosts,
    ingest.batches.images,
    ingest.batches.problems,
    ingest.batches.import_chunks,
    ingest.batches.status,
    ingest.http.batch_schemas,
    ingest.http.public_schemas,
    ingest.http.upload_request,
    ingest.http.upload_schemas,
    ingest.options,
    ingest.sheets.corrected,
    ingest.sheets.evidence,
    ingest.sheets.header,
    ingest.sheets.heading,
    ingest.sheets.links,
    ingest.sheets.model,
    ingest.sheets.records,
    ingest.sheets.table,
    ingest.sheets.workbook,
    ingest.state.sheet_copy,
    sys.modules[__name__],
)


def max_body_bytes(settings: IngestSettings) -> int:
    """Return the largest body of a request, bytes."""
    return settings.max_sheet_bytes + FORM_BYTES


def computed_limits(settings: IngestSettings) -> tuple[Limit, ...]:
    """Return the limits that follow from settings."""
    meaning = "Largest body of a request: sheet and fields"
    return (Limit("max_body_bytes", max_body_bytes(settings), "bytes", meaning, beyond="413 `BODY_TOO_LARGE`"),)


def limits_of(settings: IngestSettings, use: Use) -> tuple[Limit, ...]:
    """Return every limit, quotas with what their owner uses."""
    uses = {
        "max_open_batches": use.open_batches,
        "max_open_images": use.open_images,
        "max_daily_images": use.daily_images,
    }
    constants = (limit for limit in limits_of_modules(_MODULES) if not limit.internal)
    return (*limits_of_settings(settings, uses), *computed_limits(settings), *constants)
