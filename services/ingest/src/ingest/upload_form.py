"""The multipart form of an upload: which part is the sheet, and nothing that is not understood."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from flask import request
from werkzeug.datastructures import FileStorage

from chassis.errors import FieldViolation
from ingest.errors import ApiError, Reason, Status, invalid_argument
from ingest.public_models import FILE_FIELDS, UploadForm
from ingest.request_parsing import validate

_MAX_NAME_CHARS = 200
_DEFAULT_NAME = "sheet.csv"


@dataclass(frozen=True, slots=True)
class Upload:
    """What a client sent: the bytes of the sheet, its name, and the checked form fields beside it."""

    body: bytes
    source_name: str
    form: UploadForm
    fields: dict[str, str]


def parse_upload() -> Upload:
    """Return the upload of the present request. The content type of the sheet itself is never looked at.

    Raises:
        ApiError: 415 when the body is no multipart form, 413 when it is too large, 400 FILE_MISSING or FIELD_INVALID.
    """
    if request.mimetype != "multipart/form-data":
        raise ApiError(
            Status.INVALID_ARGUMENT,
            "UNSUPPORTED_MEDIA_TYPE",
            "The body must be multipart/form-data with the sheet in the field 'file'.",
            metadata={"content_type": request.mimetype[:100]},
            http_code=415,
        )
    sheets = [(name, part) for name, parts in request.files.lists() for part in parts if name in FILE_FIELDS]
    strangers = [name for name in request.files if name not in FILE_FIELDS]
    # A browser sends an empty part without a name for a file field that was left empty.
    if not sheets or (len(sheets) == 1 and not sheets[0][1].filename):
        found = ", ".join(_shown(name) for name in [*request.files, *request.form][:20]) or "none"
        raise invalid_argument(
            Reason.FILE_MISSING,
            f"There is no sheet: send it as a file in the field 'file' (also {', '.join(FILE_FIELDS[1:])})."
            f" Fields found: {found}.",
        )
    if len(sheets) > 1 or strangers:
        name = _shown(strangers[0]) if strangers else sheets[1][0]
        raise ApiError(
            Status.INVALID_ARGUMENT,
            Reason.FIELD_INVALID,
            "One sheet is expected, and no other file.",
            violations=[FieldViolation(name, "is one file too many")],
        )
    repeated = [name for name, values in request.form.lists() if len(values) > 1]
    if repeated:
        raise ApiError(
            Status.INVALID_ARGUMENT,
            Reason.FIELD_INVALID,
            f"The field {_shown(repeated[0])} is given more than once.",
            violations=[FieldViolation(_shown(repeated[0]), "is given more than once")],
        )
    fields = request.form.to_dict()
    form = validate(UploadForm, fields)
    part = sheets[0][1]
    return Upload(part.stream.read(), source_name(part), form, fields)


def source_name(part: FileStorage) -> str:
    """Return the sheet's file name without folders and control characters, at most 200 characters."""
    base = re.split(r"[/\\]", part.filename or "")[-1].encode("utf-8", "replace").decode()
    kept = "".join(char for char in base if unicodedata.category(char)[0] != "C").strip()
    return kept[:_MAX_NAME_CHARS] or _DEFAULT_NAME


def _shown(name: str) -> str:
    return name[:100].encode("utf-8", "replace").decode().replace("\x00", "")
