"""The table behind `/limits`: every limit a client can meet, from the settings and constants that enforce it."""

from __future__ import annotations

from chassis.auth.api_keys import MAX_KEY_CHARS
from chassis.http.body_pace import BODY_GRACE_S, BODY_MIN_BYTES_PER_S
from chassis.http.page_tokens import MAX_PAGE_TOKEN_CHARS
from chassis.limits import Limit
from ingest.batches.hosts import MAX_LISTED_HOSTS
from ingest.batches.quotas import Use
from ingest.batches.status import MAX_PAGE_IMAGES
from ingest.http.public_schemas import MAX_PAGE_SIZE
from ingest.http.request_parsing import MAX_IDEMPOTENCY_KEY_CHARS, MAX_JSON_BYTES
from ingest.http.upload_request import MAX_ITEMS_BYTES
from ingest.http.upload_schemas import MAX_CHOSEN_COLUMNS, MAX_ITEM_ID_CHARS, MAX_ITEM_NAME_CHARS, MAX_ITEMS
from ingest.options import MAX_SIDE_PX, MAX_TARGET_BYTES
from ingest.settings import IngestSettings
from ingest.sheets.corrected import MAX_HOSTS
from ingest.sheets.links import MAX_URL_CHARS
from ingest.sheets.model import MAX_LISTED_PROBLEMS
from ingest.sheets.records import MAX_FIELD_CHARS, MAX_RECORD_CHARS
from ingest.state.sheet_copy import MAX_ROW_PROBLEMS

FORM_BYTES = 1024 * 1024
"""Bytes allowed for the multipart envelope and the fields beside the sheet."""

MAX_FORM_FIELD_BYTES = 500_000
"""Most of a form field that is not a file; such fields are held in memory."""

MAX_FORM_PARTS = 1000
"""Most fields and files of a form."""

_SETTINGS = (
    # setting, unit, meaning
    ("max_sheet_bytes", "bytes", "Largest sheet"),
    ("body_timeout_s", "seconds", "Time in which a request's body must have come"),
    ("max_rows", "rows", "Most rows of a sheet, header not counted"),
    ("max_images", "images", "Most images of a sheet"),
    ("max_urls_per_cell", "URLs", "Most URLs in one cell"),
    ("max_columns", "columns", "Most columns of a sheet"),
    ("max_attempts", "attempts", "Dispatches an image gets before it has failed"),
    ("max_in_flight", "images", "Images of one batch that are worked on at the same time"),
    ("max_execution_failures", "executions", "Failed executions after which a batch has FAILED"),
    ("batch_deadline_s", "seconds", "Time after which open images fail with DEADLINE"),
    ("lease_s", "seconds", "How long an attempt may be silent"),
    ("retry_base_s", "seconds", "First wait after transient trouble; doubles"),
    ("retry_max_s", "seconds", "Longest wait between attempts"),
    ("host_concurrency", "images", "Images of one host under way at once, over all batches"),
    ("host_starts_per_s", "images per second", "Images of one host started in a second"),
    ("host_failures", "failures", "Failures in a row after which a host is left alone for a while"),
    ("host_pause_s", "seconds", "How long a host is left alone"),
    ("host_patience_s", "seconds", "Longest wait for such a host, after which its images fail"),
    ("idempotency_ttl_s", "seconds", "How long an Idempotency-Key is remembered"),
    ("retention_days", "days", "How long an ended batch is kept"),
    ("max_start_delay_s", "seconds", "Wait of the oldest batch for its start, above which uploads are refused"),
)
_CONSTANTS = (
    Limit("body_grace_s", BODY_GRACE_S, "seconds", "Time after which a body must come at `body_min_bytes_per_s`"),
    Limit("body_min_bytes_per_s", BODY_MIN_BYTES_PER_S, "bytes per second", "Slowest body after the grace"),
    Limit("max_form_field_bytes", MAX_FORM_FIELD_BYTES, "bytes", "Largest field of a form that is not a file"),
    Limit("max_form_parts", MAX_FORM_PARTS, "parts", "Most fields and files of a form"),
    Limit("max_target_bytes", MAX_TARGET_BYTES, "bytes", "Highest `target_bytes` of an image"),
    Limit("max_items", MAX_ITEMS, "items", "Most items of a JSON upload"),
    Limit("max_items_bytes", MAX_ITEMS_BYTES, "bytes", "Largest JSON body of an upload"),
    Limit("max_item_id_characters", MAX_ITEM_ID_CHARS, "characters", "Longest id of an item"),
    Limit("max_item_name_characters", MAX_ITEM_NAME_CHARS, "characters", "Longest name of an item"),
    Limit("max_json_bytes", MAX_JSON_BYTES, "bytes", "Largest JSON body of the other routes"),
    Limit("max_field_characters", MAX_FIELD_CHARS, "characters", "Longest cell of a sheet"),
    Limit("max_row_characters", MAX_RECORD_CHARS, "characters", "Longest row of a sheet"),
    Limit("max_url_characters", MAX_URL_CHARS, "characters", "Longest URL of an image or webhook"),
    Limit("max_side_pixels", MAX_SIDE_PX, "pixels", "Largest max_width and max_height"),
    Limit("max_page_size", MAX_PAGE_SIZE, "entries", "Largest page_size"),
    Limit("max_page_images", MAX_PAGE_IMAGES, "images", "A page of products ends early above this"),
    Limit("max_page_token_characters", MAX_PAGE_TOKEN_CHARS, "characters", "Longest page_token"),
    Limit("max_idempotency_key_characters", MAX_IDEMPOTENCY_KEY_CHARS, "characters", "Longest Idempotency-Key"),
    Limit("max_api_key_characters", MAX_KEY_CHARS, "characters", "Longest API key"),
    Limit("max_listed_problems", MAX_LISTED_PROBLEMS, "problems", "Problems of a sheet that are listed; all count"),
    Limit("max_hosts", MAX_HOSTS, "hosts", "Hosts that a check of a sheet lists; all count"),
    Limit("max_listed_hosts", MAX_LISTED_HOSTS, "hosts", "Hosts that a batch lists; all count"),
    Limit("max_row_problems", MAX_ROW_PROBLEMS, "problems", "Problems that are kept with a skipped row"),
    Limit("max_chosen_columns", MAX_CHOSEN_COLUMNS, "titles", "Titles of URL columns in `columns`"),
)

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


def max_body_bytes(settings: IngestSettings) -> int:
    """Return the largest body of a request, bytes."""
    return settings.max_sheet_bytes + FORM_BYTES


def limits_of(settings: IngestSettings, use: Use) -> tuple[Limit, ...]:
    """Return every limit, quotas with what their owner uses."""
    fields = IngestSettings.model_fields
    from_settings = [
        Limit(name, getattr(settings, name), unit, meaning, fields[name].alias or "")
        for name, unit, meaning in _SETTINGS
    ]
    quotas = [
        Limit(name, getattr(settings, name), unit, meaning, fields[name].alias or "", use=used)
        for name, unit, meaning, used in (
            ("max_open_batches", "batches", "Unfinished batches of an owner", use.open_batches),
            ("max_open_images", "images", "Unfinished images of an owner", use.open_images),
            ("max_daily_images", "images", "Images an owner uploads in 24 hours", use.daily_images),
        )
    ]
    body = Limit("max_body_bytes", max_body_bytes(settings), "bytes", "Largest body of a request: sheet and fields")
    return (*quotas, *from_settings, body, *_CONSTANTS)
