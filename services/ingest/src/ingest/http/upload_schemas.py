"""What an upload may say: the fields of the form, the JSON body, and which column is which."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from chassis.egress.link_repairs import RepairedLink, repair_link
from chassis.http.fields import PublicRequest, Text, storable
from chassis.limited import Limited
from ingest.options import (
    ANIMATED_HELP,
    BACKGROUND_HELP,
    FORMAT_HELP,
    MAX_SIDE_PX,
    MAX_TARGET_BYTES,
    METADATA_HELP,
    MIN_TARGET_BYTES,
    TARGET_HELP,
    AnimatedPolicy,
    Colour,
    ImageOptions,
    MetadataPolicy,
    OutputFormat,
)
from ingest.sheets.encodings import USUAL, encoding_of_label
from ingest.sheets.header import CHOOSABLE, Role
from ingest.sheets.items import Item
from ingest.sheets.links import link_fault
from ingest.sheets.model import OnInvalid

FILE_FIELDS = ("file", "csv", "csvFile", "csv_file", "input_data")
WEBHOOK_FIELDS = ("webhook_url", "webhookUrl", "webHookUrl", "callbackUrl")

MAX_ITEM_ID_CHARS: Annotated[
    int, Limited("characters", "400 `FIELD_INVALID`", "Longest id of an item", name="max_item_id_characters")
] = 1000
MAX_ITEM_NAME_CHARS: Annotated[
    int, Limited("characters", "400 `FIELD_INVALID`", "Longest name of an item", name="max_item_name_characters")
] = 10_000
MAX_ITEMS: Annotated[int, Limited("items", "400 `FIELD_INVALID`", "Most items of a JSON upload")] = 20_000
"""Most items of a JSON upload; more go as a sheet, which is not held in memory."""

MAX_CHOSEN_COLUMNS: Annotated[int, Limited("titles", "400 `FIELD_INVALID`", "Titles of URL columns in `columns`")] = 100


def web_link(value: object) -> RepairedLink:
    """Return the link of a field, repaired as links of a cell are; whoever calls it checks addresses.

    Raises:
        ValueError: its form is not acceptable.
    """
    if not isinstance(value, str):
        raise ValueError("must be a link, as text")
    link = repair_link(storable(value))
    fault = link_fault(link.url, value)
    if fault is not None:
        raise ValueError(fault.message)
    return link


WebLink = Annotated[RepairedLink, PlainValidator(web_link)]
"""An http or https URL of at most 2083 characters, and what was repaired in it."""

WebUrl = Annotated[str, PlainValidator(lambda value: web_link(value).url)]
"""Such a URL alone."""


def _none_if_empty(value: object) -> object:
    # An HTML form sends its empty fields.
    return None if value == "" else value


def _chosen_columns(value: object) -> dict[str, tuple[str, ...]]:
    """Return `{"urls": ("Bild",), "format": ()}` for `{"urls": "Bild", "format": null}`, or its JSON text."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError('must be a JSON object such as {"urls": "Picture links"}') from error
    if not isinstance(value, dict):
        raise ValueError('must be an object such as {"urls": "Picture links"}')
    return {str(what): _titles(str(what), titles) for what, titles in value.items()}


def _titles(what: str, titles: object) -> tuple[str, ...]:
    if what not in CHOOSABLE:
        raise ValueError(f"{what[:50]!r} is none of {', '.join(CHOOSABLE)}")
    found = () if titles is None else tuple(titles) if isinstance(titles, list) else (titles,)
    if not all(isinstance(title, str) and title.strip() for title in found):
        raise ValueError(f"{what}: must be the title of a column, or null for none")
    if not found and what == Role.URLS.value:
        raise ValueError(f"{what}: every sheet needs this column")
    if len(found) > (MAX_CHOSEN_COLUMNS if what == Role.URLS.value else 1):
        raise ValueError(f"{what}: too many columns")
    return found


ColumnsField = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_chosen_columns)]
"""Which column plays which role, with the titles as tuples."""


def _encoding(value: object) -> object:
    """Return the name of the encoding that a label means."""
    if value is None or value == "":
        return None
    found = encoding_of_label(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"is no encoding that is read; usual ones are {', '.join(USUAL)}; GET /limits lists all")
    return found


EncodingField = Annotated[str | None, BeforeValidator(_encoding)]
"""The encoding of a sheet by any of its usual labels, as one of `CODECS`."""

OutputEncoding = Literal["utf-8", "same"]
ENCODING_HELP = "Encoding of the sheet, e.g. windows-1251, gb18030, shift_jis; recognised unless given"
OUTPUT_ENCODING_HELP = "Encoding of output.csv and failed.csv: utf-8 (unless given), or same as the sheet's"

FRESH_HELP = "Fetch and compress every image, also those whose origin says that they have not changed"

SheetUri = Annotated[Text, Field(pattern=r"^gs://[^/]+/.+$", max_length=2083)]
"""The URI of a sheet in Cloud Storage."""


class UploadQuery(PublicRequest):
    """What may be asked in the query string of an upload, instead of in its body."""

    validate_only: Annotated[bool | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="Check everything, store nothing"
    )
    on_invalid: Annotated[Literal["reject", "skip"] | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="reject: one bad row refuses the sheet; skip: work on the good rows"
    )
    fresh: Annotated[bool | None, BeforeValidator(_none_if_empty)] = Field(None, description=FRESH_HELP)
    invalid_is_error: Annotated[bool | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        description="With validate_only: answer a bad sheet 400 SHEET_INVALID as the release before did; goes with the"
        " next release",
        json_schema_extra={"deprecated": True},
    )


class UploadForm(UploadQuery):
    """The form fields beside the sheet."""

    csv_uri: Annotated[SheetUri | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="gs://bucket/name of the sheet, instead of a file"
    )
    csv_text: Annotated[Text | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="The sheet itself as pasted text, instead of a file"
    )
    webhook_url: Annotated[WebLink | None, BeforeValidator(_none_if_empty)] = Field(
        None, validation_alias=AliasChoices(*WEBHOOK_FIELDS), description="Told when this batch ends"
    )
    columns: ColumnsField = Field(default_factory=dict, description="Which column is which, as a JSON object")
    encoding: EncodingField = Field(None, description=ENCODING_HELP)
    output_encoding: Annotated[OutputEncoding | None, BeforeValidator(_none_if_empty)] = Field(
        None, description=OUTPUT_ENCODING_HELP
    )
    quality: Annotated[int | None, BeforeValidator(_none_if_empty)] = Field(
        None, ge=1, le=95, description="Quality of the encoder, 1 to 95; 50 unless given"
    )
    max_width: Annotated[int | None, BeforeValidator(_none_if_empty)] = Field(
        None, ge=1, le=MAX_SIDE_PX, description="Widest output in pixels"
    )
    max_height: Annotated[int | None, BeforeValidator(_none_if_empty)] = Field(
        None, ge=1, le=MAX_SIDE_PX, description="Highest output in pixels"
    )
    format: Annotated[OutputFormat | None, BeforeValidator(_none_if_empty)] = Field(None, description=FORMAT_HELP)
    target_bytes: Annotated[int | None, BeforeValidator(_none_if_empty)] = Field(
        None, ge=MIN_TARGET_BYTES, le=MAX_TARGET_BYTES, description=TARGET_HELP
    )
    metadata: Annotated[MetadataPolicy | None, BeforeValidator(_none_if_empty)] = Field(None, description=METADATA_HELP)
    background: Annotated[Colour | None, BeforeValidator(_none_if_empty)] = Field(None, description=BACKGROUND_HELP)
    animated: Annotated[AnimatedPolicy | None, BeforeValidator(_none_if_empty)] = Field(None, description=ANIMATED_HELP)

    def options(self) -> ImageOptions:
        """Return the options of the batch, defaults filled in."""
        given = self.model_dump(exclude_none=True, include=set(ImageOptions.model_fields))
        return ImageOptions.model_validate(given)


class ItemBody(PublicRequest):
    """One product of a JSON upload."""

    id: Annotated[Text, BeforeValidator(lambda value: str(value) if type(value) is int else value)] = Field(
        "", max_length=MAX_ITEM_ID_CHARS, description="Opaque, kept as the serial"
    )
    name: Text = Field("", max_length=MAX_ITEM_NAME_CHARS, description="The product's name")
    urls: list[Text] = Field(description="The image links, in the order of their slots")
    options: ImageOptions | None = Field(None, description="What differs from the options of the batch")

    def to_item(self) -> Item:
        """Return the item; only options that were given count as its own."""
        own = {} if self.options is None else self.options.model_dump(exclude_unset=True, exclude_none=True)
        return Item(self.id, self.name, tuple(self.urls), own)


class JsonUpload(PublicRequest):
    """The JSON body of an upload: items, or the URI of a sheet in Cloud Storage."""

    items: list[ItemBody] | None = Field(None, max_length=MAX_ITEMS, description="The products, instead of a sheet")
    csv_uri: SheetUri | None = Field(None, description="gs://bucket/name of the sheet, instead of items")
    csv_text: Text | None = Field(None, min_length=1, description="The sheet itself as text, instead of items")
    webhook_url: WebLink | None = Field(None, description="Told when this batch ends")
    options: ImageOptions | None = Field(None, description="The options of the batch")
    columns: ColumnsField = Field(default_factory=dict, description="Which column of the sheet is which")
    encoding: EncodingField = Field(None, description=ENCODING_HELP)
    output_encoding: OutputEncoding = Field("utf-8", description=OUTPUT_ENCODING_HELP)
    validate_only: bool = Field(False, description="Check everything, store nothing")
    on_invalid: OnInvalid = Field(OnInvalid.REJECT, description="reject or skip bad rows")
    fresh: bool = Field(False, description=FRESH_HELP)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.items, self.csv_uri, self.csv_text)) != 1:
            raise ValueError("give one of items, csv_uri and csv_text")
        if self.items is not None and self.columns:
            raise ValueError("columns are of sheets; items have none")
        return self

    def sheet_items(self) -> tuple[Item, ...] | None:
        """Return the items, or None when the sheet is elsewhere."""
        return None if self.items is None else tuple(item.to_item() for item in self.items)


class ColumnsDocument(BaseModel):
    """Which column plays which role: its title, or null for none."""

    serial: str | None = None
    name: str | None = None
    urls: str | list[str] | None = None
    output: str | None = None
    errors: str | None = None
    quality: str | None = None
    format: str | None = None
    max_width: str | None = None
    max_height: str | None = None
    target_bytes: str | None = None
    metadata: str | None = None
    background: str | None = None
    animated: str | None = None


FILE_SCHEMA = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
"""A file of a form: by `format` for viewers that know OpenAPI 3.0, by `contentMediaType` for 3.1."""


class UploadDocument(BaseModel):
    """The multipart form as the document of the interface shows it."""

    file: Annotated[str | None, WithJsonSchema(FILE_SCHEMA)] = Field(
        None,
        description="The sheet, CSV in any usual dialect or an Excel workbook; also accepted as csv, csvFile, csv_file,"
        " input_data",
    )
    csv_uri: str | None = Field(None, description="gs://bucket/name of the sheet, instead of a file")
    csv_text: str | None = Field(None, description="The sheet itself as pasted text, instead of a file")
    webhook_url: str | None = Field(None, description="Told when this batch ends; also webhookUrl, callbackUrl")
    quality: int | None = Field(None, ge=1, le=95)
    max_width: int | None = Field(None, ge=1, le=MAX_SIDE_PX)
    max_height: int | None = Field(None, ge=1, le=MAX_SIDE_PX)
    format: OutputFormat | None = None
    target_bytes: int | None = Field(None, ge=MIN_TARGET_BYTES, le=MAX_TARGET_BYTES, description=TARGET_HELP)
    metadata: MetadataPolicy | None = Field(None, description=METADATA_HELP)
    background: Colour | None = Field(None, description=BACKGROUND_HELP)
    animated: AnimatedPolicy | None = Field(None, description=ANIMATED_HELP)
    encoding: str | None = Field(None, description=ENCODING_HELP)
    output_encoding: OutputEncoding | None = Field(None, description=OUTPUT_ENCODING_HELP)
    columns: str | None = Field(None, description='JSON such as {"urls": "Picture links", "format": null}')
    validate_only: bool | None = Field(None, description="Check everything, store nothing")
    on_invalid: OnInvalid | None = Field(None, description="reject (unless given) or skip bad rows")
    fresh: bool | None = Field(None, description=FRESH_HELP)
    invalid_is_error: bool | None = Field(None, json_schema_extra={"deprecated": True})


class JsonUploadDocument(BaseModel):
    """The JSON body as the document of the interface shows it."""

    items: list[dict[str, Any]] | None = Field(
        None, description='Products such as {"id": "1", "name": "Lamp", "urls": ["https://..."], "options": {}}'
    )
    csv_uri: str | None = Field(None, description="gs://bucket/name of the sheet, instead of items")
    csv_text: str | None = Field(None, description="The sheet itself as text, instead of items")
    webhook_url: str | None = None
    options: ImageOptions | None = None
    columns: ColumnsDocument | None = None
    encoding: str | None = Field(None, description=ENCODING_HELP)
    output_encoding: OutputEncoding = "utf-8"
    validate_only: bool = False
    on_invalid: OnInvalid = OnInvalid.REJECT
    fresh: bool = Field(False, description=FRESH_HELP)
