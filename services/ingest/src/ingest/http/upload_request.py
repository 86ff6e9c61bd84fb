"""What an upload may be: a multipart form with a file, or JSON with items; either may hold or name a sheet instead.

All of them end in the same `Upload`. What is not understood is refused, because ignoring it would be silent.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated

from flask import request
from werkzeug.datastructures import FileStorage

from chassis.egress.link_repairs import RepairedLink
from chassis.errors import FieldViolation, SharedReason, field_invalid
from chassis.http.requests import parse_json, query_values, shown, validate
from chassis.limited import Limited
from chassis.limits import over_limit_facts
from ingest.batches.import_sheet import find_sheet
from ingest.batches.sheet_errors import limits_from, sheet_invalid
from ingest.clients.sheet_storage import SheetStorage, StoredSheet, too_large
from ingest.errors import ApiError, Reason, Status, invalid_argument
from ingest.http.upload_addresses import check_csv_uri
from ingest.http.upload_schemas import FILE_FIELDS, JsonUpload, UploadForm, UploadQuery
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.intake import SheetRequest, read_items, read_sheet
from ingest.sheets.items import Item
from ingest.sheets.links import repairs_told
from ingest.sheets.model import OnInvalid, OversizedSheetError, Problem, ProblemCode, Sheet, SheetError

MAX_ITEMS_BYTES: Annotated[int, Limited("bytes", "413 `BODY_TOO_LARGE`", "Largest JSON body of an upload")] = (
    4 * 1024 * 1024
)
"""Largest JSON body with items, bytes: JSON is held in memory as a whole, a file is not."""

MAX_IDEMPOTENCY_KEY_CHARS: Annotated[
    int,
    Limited(
        "characters", "400 `IDEMPOTENCY_KEY_INVALID`", "Longest Idempotency-Key", name="max_idempotency_key_characters"
    ),
] = 255

_IDEMPOTENCY_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_IDEMPOTENCY_KEY_CHARS}}}")
_MAX_NAME_CHARS = 200
_DEFAULT_NAME = "sheet.csv"
_ITEMS_NAME = "items.json"
_PASTED_NAME = "pasted.csv"


@dataclass(frozen=True, slots=True)
class Upload:
    """What a client sent, in whichever form.

    `fields` is everything beside `body` that makes two uploads differ. `stored` is the sheet in Cloud Storage that
    `csv_uri` names; one above the limits of other sheets is not read here, and `body` tells it from others.
    """

    body: bytes
    source_name: str
    items: tuple[Item, ...] | None
    asked: SheetRequest
    options: ImageOptions
    webhook: RepairedLink | None
    validate_only: bool
    fields: dict[str, str]
    same_encoding: bool = False
    invalid_is_error: bool = False
    fresh: bool = False
    stored: StoredSheet | None = None

    @property
    def webhook_url(self) -> str | None:
        """Return where the end of the batch is told."""
        return None if self.webhook is None else self.webhook.url


def parse_upload(settings: IngestSettings, storage: SheetStorage, *, owner: str | None) -> Upload:
    """Return the upload of the present request, sent by an owner.

    The content type of the sheet itself is never looked at.

    Raises:
        ApiError: 415 when the body is neither a multipart form nor JSON, 413 when it is too large, 400 FILE_MISSING,
            FIELD_INVALID or JSON_INVALID, and for a sheet in Cloud Storage 403 BUCKET_NOT_ALLOWED or what reading it
            raises.
    """
    query = _query()
    match request.mimetype:
        case "multipart/form-data":
            return _from_form(query, settings, storage, owner)
        case "application/json":
            return _from_json(query, settings, storage, owner)
    raise ApiError(
        Status.INVALID_ARGUMENT,
        SharedReason.UNSUPPORTED_MEDIA_TYPE,
        "The body must be multipart/form-data with the sheet in the field 'file', or application/json with items.",
        metadata={"content_type": request.mimetype[:100]},
        http_code=415,
    )


def idempotency_key() -> str | None:
    """Return the Idempotency-Key header, or None.

    Raises:
        ApiError: 400 IDEMPOTENCY_KEY_INVALID when it is empty, longer than 255 or not printable ASCII.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None or _IDEMPOTENCY_KEY.fullmatch(key):
        return key
    raise invalid_argument(
        Reason.IDEMPOTENCY_KEY_INVALID,
        f"The Idempotency-Key must be 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable ASCII characters; it has"
        f" {len(key)} characters.",
        **over_limit_facts("max_idempotency_key_characters", limit=MAX_IDEMPOTENCY_KEY_CHARS, value=len(key)),
    )


def is_for_chunks(upload: Upload, settings: IngestSettings) -> bool:
    """Return whether a sheet is too large for one request; then it is imported in chunks."""
    return upload.stored is not None and upload.stored.size_bytes > settings.max_sheet_bytes


def read_upload_or_none(upload: Upload, settings: IngestSettings) -> Sheet | None:
    """Return the sheet of an upload; None when it lies in Cloud Storage and has to be imported in chunks.

    Raises:
        ApiError: 400 SHEET_INVALID with every problem.
    """
    if is_for_chunks(upload, settings):
        return None
    try:
        return read_upload(upload, settings)
    except ApiError as error:
        if upload.stored is None or not isinstance(error.__cause__, OversizedSheetError):
            raise
        return None


def read_upload(upload: Upload, settings: IngestSettings, asked: SheetRequest | None = None) -> Sheet:
    """Return the sheet of an upload.

    Raises:
        ApiError: 400 SHEET_INVALID with every problem, 413 SHEET_TOO_LARGE.
    """
    try:
        return look_into_upload(upload, settings, asked)
    except SheetError as error:
        raise sheet_invalid(error) from error


def look_into_upload(upload: Upload, settings: IngestSettings, asked: SheetRequest | None = None) -> Sheet:
    """Return the sheet of an upload.

    Raises:
        SheetError: with every problem.
        ApiError: 413 SHEET_TOO_LARGE for a sheet in Cloud Storage that can only be imported in chunks.
    """
    if is_for_chunks(upload, settings):
        assert upload.stored is not None
        raise too_large(upload.stored, settings.max_sheet_bytes, "max_sheet_bytes")
    limits, asked = limits_from(settings), asked or upload.asked
    sheet = read_sheet(upload.body, limits, asked) if upload.items is None else read_items(upload.items, limits, asked)
    if upload.webhook is not None and upload.webhook.repairs:
        message = repairs_told(dict.fromkeys(upload.webhook.repairs, 1))
        sheet.warnings.add(Problem(None, "webhook_url", ProblemCode.LINK_REPAIRED, message, upload.webhook.url))
    return sheet


def _query() -> dict[str, str]:
    query = query_values()
    validate(UploadQuery, query)
    return query


def _from_form(query: dict[str, str], settings: IngestSettings, storage: SheetStorage, owner: str | None) -> Upload:
    part = _sheet_part()
    repeated = [name for name, values in request.form.lists() if len(values) > 1 or name in query]
    if repeated:
        raise _twice(repeated[0])
    fields = request.form.to_dict() | query
    form = validate(UploadForm, fields)
    stored: StoredSheet | None = None
    match part, form.csv_uri, form.csv_text:
        case None, None, None:
            raise _no_sheet()
        case FileStorage(), None, None:
            body, name = part.stream.read(), source_name(part)
            # A large part lies in a temporary file; it need not wait for the garbage collector.
            part.close()
        case None, str(csv_uri), None:
            body, name, stored = _stored_sheet(csv_uri, settings, storage, owner)
        case None, None, str(csv_text):
            body, name = csv_text.encode(), _PASTED_NAME
            form = form.model_copy(update={"encoding": None})  # a form's text was decoded with the form
        case _:
            raise _one_too_many("csv_text" if form.csv_uri is None else "csv_uri")
    options = form.options()
    return Upload(
        body=body,
        source_name=name,
        items=None,
        asked=SheetRequest(
            form.columns, OnInvalid(form.on_invalid or OnInvalid.REJECT), options.model_dump(), form.encoding
        ),
        options=options,
        webhook=form.webhook_url,
        validate_only=bool(form.validate_only),
        fields=fields,
        same_encoding=form.output_encoding == "same",
        invalid_is_error=bool(form.invalid_is_error),
        fresh=bool(form.fresh),
        stored=stored,
    )


def _from_json(query: dict[str, str], settings: IngestSettings, storage: SheetStorage, owner: str | None) -> Upload:
    sent = parse_json(JsonUpload, max_bytes=MAX_ITEMS_BYTES)
    named = query.keys() & sent.model_fields_set
    if named:
        raise _twice(min(named))
    asked_by_query = validate(UploadQuery, query)
    # The body of a JSON request was read and cached by its parser.
    body, name, items = request.get_data(), _ITEMS_NAME, sent.sheet_items()
    fields = dict(query)
    options = sent.options or ImageOptions()
    stored: StoredSheet | None = None
    if sent.csv_uri is not None:
        fields["json"] = body.decode()
        body, name, stored = _stored_sheet(sent.csv_uri, settings, storage, owner)
    elif sent.csv_text is not None:
        fields["json"] = body.decode()
        body, name = sent.csv_text.encode(), _PASTED_NAME
    return Upload(
        body=body,
        source_name=name,
        items=items,
        asked=SheetRequest(
            sent.columns,
            OnInvalid(asked_by_query.on_invalid or sent.on_invalid),
            options.model_dump(),
            # Text in JSON is Unicode already.
            None if sent.csv_uri is None else sent.encoding,
        ),
        options=options,
        webhook=sent.webhook_url,
        validate_only=sent.validate_only or bool(asked_by_query.validate_only),
        fields=fields,
        same_encoding=sent.output_encoding == "same",
        invalid_is_error=bool(asked_by_query.invalid_is_error),
        fresh=sent.fresh or bool(asked_by_query.fresh),
        stored=stored,
    )


def _sheet_part() -> FileStorage | None:
    sheets = [(name, part) for name, parts in request.files.lists() for part in parts if name in FILE_FIELDS]
    strangers = [name for name in request.files if name not in FILE_FIELDS]
    # A browser sends an empty part without a name for a file field that was left empty.
    if not sheets or (len(sheets) == 1 and not sheets[0][1].filename):
        if strangers:
            raise _no_sheet()
        return None
    if len(sheets) > 1 or strangers:
        raise _one_too_many(shown(strangers[0]) if strangers else sheets[1][0])
    return sheets[0][1]


def _stored_sheet(
    csv_uri: str, settings: IngestSettings, storage: SheetStorage, owner: str | None
) -> tuple[bytes, str, StoredSheet]:
    """Return the content and name of a sheet in a bucket that clients may name.

    Of a large one it returns what tells it from others, instead of the content.
    """
    check_csv_uri(settings, csv_uri, owner=owner)
    stored = find_sheet(settings, storage, csv_uri)
    if stored.size_bytes <= settings.max_sheet_bytes:
        return storage.read(stored), csv_uri.rpartition("/")[2], stored
    return f"{csv_uri}#{stored.generation}".encode(), csv_uri.rpartition("/")[2], stored


def source_name(part: FileStorage) -> str:
    """Return the sheet's file name without folders and control characters, at most 200 characters."""
    base = re.split(r"[/\\]", part.filename or "")[-1].encode("utf-8", "replace").decode()
    kept = "".join(char for char in base if unicodedata.category(char)[0] != "C").strip()
    return kept[:_MAX_NAME_CHARS] or _DEFAULT_NAME


def _no_sheet() -> ApiError:
    found = ", ".join(shown(name) for name in [*request.files, *request.form][:20]) or "none"
    return invalid_argument(
        Reason.FILE_MISSING,
        f"There is no sheet: send it as a file in the field 'file' (also {', '.join(FILE_FIELDS[1:])}), or as text"
        f" in 'csv_text', or name one in 'csv_uri'. Fields found: {found}.",
    )


def _one_too_many(name: str) -> ApiError:
    return field_invalid(
        [FieldViolation(name, "is one sheet or file too many")], "One sheet is expected, and no other file."
    )


def _twice(name: str) -> ApiError:
    return field_invalid([FieldViolation(shown(name), "is given more than once")])
