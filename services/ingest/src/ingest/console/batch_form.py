"""The form of a new batch: from its fields to the same `Upload` that the JSON routes make.

A sheet comes as a file, as pasted text, as the sample, or back from the page that has checked it: without a script a
browser forgets the file that was chosen, so the page carries a small sheet along.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Annotated, Literal

from flask import request
from pydantic import BeforeValidator, Field
from werkzeug.datastructures import FileStorage

from chassis.http.fields import PublicRequest, Text
from chassis.http.requests import validate
from ingest.clients.sample_sheet import SampleSheet
from ingest.console.presets import options_of
from ingest.errors import Reason, invalid_argument
from ingest.http.upload_request import Upload, source_name
from ingest.http.upload_schemas import EncodingField, OutputEncoding, WebLink
from ingest.options import AnimatedPolicy, ImageOptions, MetadataPolicy, OutputFormat
from ingest.sheets.encodings import CODECS
from ingest.sheets.intake import SheetRequest
from ingest.sheets.model import OnInvalid
from ingest.sheets.records import DELIMITERS

HELD_BYTES = 300_000
"""Largest sheet that a page carries along; in Base64 it stays below the limit of a form's field."""

ROLES = ("urls", "name", "serial")
"""The columns that a person may choose; the rest is found by its titles."""

DELIMITER_NAMES = {",": "comma ,", ";": "semicolon ;", "\t": "tab", "|": "bar |"}


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


_Empty = BeforeValidator(_none_if_empty)


class BatchForm(PublicRequest):
    """The fields of the form as they were sent; empty ones are as those that are not there."""

    do: Literal["check", "start", "skip", "corrected", "try"] = "check"
    key: str = Field("", max_length=100)
    csv_text: Text = ""
    sample: Literal["", "1"] = ""
    held: str = ""
    held_name: Text = ""
    encoding: EncodingField = None
    delimiter: Annotated[Literal[",", ";", "\t", "|"] | None, _Empty] = None
    urls_more: Text = ""
    name: Text = ""
    serial: Text = ""
    columns_shown: Text = ""
    columns_chosen: Literal["", "1"] = ""
    preset: Text = "catalogue"
    quality: Annotated[int | None, _Empty] = None
    format: Annotated[OutputFormat | None, _Empty] = None
    max_width: Annotated[int | None, _Empty] = None
    max_height: Annotated[int | None, _Empty] = None
    target_bytes: Annotated[int | None, _Empty] = None
    metadata: Annotated[MetadataPolicy | None, _Empty] = None
    background: Annotated[str | None, _Empty] = None
    animated: Annotated[AnimatedPolicy | None, _Empty] = None
    output_encoding: OutputEncoding = "utf-8"
    fresh: Literal["", "1"] = ""
    webhook_url: Annotated[WebLink | None, _Empty] = None

    def options(self) -> ImageOptions:
        """Return the options of the preset with those that the person gave.

        Raises:
            ApiError: 400 FIELD_INVALID.
        """
        own = {name: value for name in ImageOptions.model_fields if (value := getattr(self, name)) is not None}
        return validate(ImageOptions, options_of(self.preset) | own)


@dataclass(frozen=True, slots=True)
class Given:
    """What a person has given: the fields, and the upload that they make.

    `held` is the sheet when no browser keeps it: after it was pasted, or when it was the sample.
    """

    form: BatchForm
    upload: Upload

    @property
    def held(self) -> str:
        """Return the sheet as the page carries it along, in Base64; nothing when it is too large for that."""
        body = self.upload.body
        return base64.b64encode(body).decode() if len(body) <= HELD_BYTES else ""


def read_form() -> BatchForm:
    """Return the fields of the present request's form.

    Raises:
        ApiError: 400 FIELD_INVALID.
    """
    fields = {name: values[-1] for name, values in request.form.lists() if name != "urls"}
    return validate(BatchForm, fields)


def read_given(form: BatchForm, sample: SampleSheet) -> Given:
    """Return the sheet of the present request with what is asked of it.

    Raises:
        ApiError: 400 FILE_MISSING, FIELD_INVALID, or what reading the sample raises.
    """
    body, name, is_text = _body_of(form, sample)
    options = form.options()
    columns = _columns_of(form)
    on_invalid = OnInvalid.SKIP if form.do in {"skip", "corrected"} else OnInvalid.REJECT
    asked = SheetRequest(columns, on_invalid, options.model_dump(), None if is_text else form.encoding, form.delimiter)
    # What makes two uploads with one key different: all but the button and the way the sheet came.
    fields = form.model_dump_json(exclude={"do", "key", "csv_text", "sample", "held", "held_name", "columns_shown"})
    return Given(
        form,
        Upload(
            body=body,
            source_name=name,
            items=None,
            asked=asked,
            options=options,
            webhook=form.webhook_url,
            validate_only=False,
            fields={"form": fields, "columns": json.dumps(columns)},
            same_encoding=form.output_encoding == "same",
            fresh=bool(form.fresh),
        ),
    )


def _body_of(form: BatchForm, sample: SampleSheet) -> tuple[bytes, str, bool]:
    """Return the bytes of the sheet, its name, and whether it is text that the form has decoded already."""
    part = request.files.get("file")
    if isinstance(part, FileStorage) and part.filename:
        body, name = part.stream.read(), source_name(part)
        part.close()
        return body, name, False
    if form.csv_text.strip():
        return form.csv_text.encode(), "pasted.csv", True
    if form.sample:
        return sample.read(), "sample.csv", False
    if form.held:
        try:
            return base64.b64decode(form.held, validate=True), form.held_name or "sheet.csv", False
        except (binascii.Error, ValueError) as error:
            raise invalid_argument(Reason.FILE_MISSING, "The sheet got lost on the way; choose it again.") from error
    raise invalid_argument(Reason.FILE_MISSING, "There is no sheet yet: choose a file, paste rows, or take the sample.")


def _columns_of(form: BatchForm) -> dict[str, tuple[str, ...]]:
    """Return the columns that the person has chosen; nothing as long as they are those that the page had found."""
    if not form.columns_shown:
        return {}
    urls = [title for title in request.form.getlist("urls") if title.strip()]
    if form.urls_more.strip():
        urls.append(form.urls_more)
    chosen = {
        "urls": tuple(dict.fromkeys(urls)),
        **{role: (title,) if (title := getattr(form, role)).strip() else () for role in ("name", "serial")},
    }
    if not form.columns_chosen and json.dumps(chosen) == form.columns_shown:
        return {}
    # Without a column of links the sheet is judged anew rather than refused.
    return chosen if chosen["urls"] else {}


def columns_text(urls: list[str], name: str, serial: str) -> str:
    """Return the columns as the page has shown them, to be compared with what comes back."""
    return json.dumps({"urls": urls, "name": [name] if name else [], "serial": [serial] if serial else []})


ENCODINGS = tuple(CODECS)
"""Every encoding that can be chosen."""

DELIMITER_CHOICES = tuple((delimiter, DELIMITER_NAMES[delimiter]) for delimiter in DELIMITERS)
"""Every delimiter that can be chosen, with its name."""
